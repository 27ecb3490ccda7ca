#pragma once

/// A network that keeps what it is given until a test takes it.

#include "runtime/transport/transport.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace troupe {

class keeping_network : public transport {
public:
  void send(node_id, frame_header header, body payload) override {
    std::lock_guard lock{mutex_};
    frames_.push_back({header, std::move(payload)});
    changed_.notify_all();
  }

  void set_max_unsent(size_t) override {
  }

  void set_view(uint32_t) override {
  }

  void disconnect(node_id, uint64_t, const std::string&) override {
  }

  transport_stats stats() const override {
    return {};
  }

  /// Waits until `is_enough` of the frames; takes them. A minute means never.
  template <class F>
  std::vector<frame> wait(F is_enough) {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds{60},
                                  [&] { return is_enough(frames_); }));
    return std::exchange(frames_, {});
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<frame> frames_;
};

} // namespace troupe
