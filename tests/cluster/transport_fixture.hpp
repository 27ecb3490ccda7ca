#pragma once

/// Transports in the process of a test, and what has happened to them.

#include "runtime/transport/ucx_transport.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

namespace troupe::transports {

using namespace std::chrono_literals;

/// Waits for something to become true; a minute means never.
class monitor {
public:
  template <class F>
  auto change(F f) {
    std::lock_guard guard{mutex_};
    changed_.notify_all();
    return f();
  }

  template <class F>
  bool await(F is_true) {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, 60s, is_true);
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline body bytes(size_t n, int fill) {
  auto data = std::make_shared<std::vector<std::byte>>(n, std::byte(fill));
  return {data, *data};
}

/// A node of either kind and what has happened to it.
struct node {
  transport_handler handler() {
    return {
      .on_frame =
        [this](node_id from, frame&& x) {
          events.change([&] { frames.emplace_back(from, std::move(x)); });
          if (after_frame)
            after_frame();
        },
      .on_peer_lost =
        [this](node_id peer, uint64_t incarnation, const std::string& why) {
          events.change([&] {
            lost.push_back({peer, incarnation});
            reasons.push_back(why);
          });
        },
      .on_peer_joined =
        [this](node_id peer, const node_identity& who) {
          events.change([&] {
            joined.emplace_back(peer, who.name);
            known[peer] = who.incarnation;
          });
        },
      .on_connect_failed =
        [this](node_id, const failure& why) {
          events.change([&] { failures.push_back(why.message); });
        }};
  }

  bool await_frames(size_t n) {
    return events.await([&] { return frames.size() >= n; });
  }

  bool await_loss(node_id peer, uint64_t incarnation) {
    return events.await([&] {
      return std::ranges::find(lost, std::pair{peer, incarnation})
             != lost.end();
    });
  }

  bool await_failure(const std::string& words) {
    return events.await([&] {
      return std::ranges::any_of(
        failures, [&](auto& x) { return x.find(words) != std::string::npos; });
    });
  }

  uint64_t refused(refusal why) const {
    return self->stats().frames_refused[size_t(why)];
  }

  std::function<void()> after_frame; ///< On the thread that brings frames.
  monitor events;
  std::vector<std::pair<node_id, frame>> frames;
  std::vector<std::pair<node_id, uint64_t>> lost;
  std::vector<std::string> reasons;  ///< Of the losses.
  std::map<node_id, uint64_t> known; ///< Last incarnation that has joined.
  std::vector<std::pair<node_id, std::string>> joined;
  std::vector<std::string> failures;
  std::unique_ptr<transport> self;
};

struct surroundings {
  system_clock time;
  system_entropy chance;
  logger log{"test", log_level::error};

  std::unique_ptr<ucx_transport> listen(node& x, node_id id,
                                        ucx_options options = {}) {
    options.self.name = "node-" + std::to_string(id);
    options.self_id = id;
    auto admit = [](const node_identity& who) {
      return result<node_id>{node_id(std::stoi(who.name.substr(5)))};
    };
    auto net = ucx_transport::listen(options, {time, chance, log}, {admit},
                                     x.handler());
    EXPECT_TRUE(net) << net.why().message;
    return std::move(*net);
  }
};

} // namespace troupe::transports
