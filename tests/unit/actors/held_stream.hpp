#pragma once

#include "kernels/device.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace troupe {

/// A stream whose notices wait until the test lets them go: what it computes
/// takes as long as the test likes.
class held_stream : public kernels::stream {
public:
  explicit held_stream(std::unique_ptr<kernels::stream> inner)
    : inner_(std::move(inner)) {
  }

  void enqueue(kernels::operation op) override {
    inner_->enqueue(std::move(op));
  }

  kernels::event record() override {
    return inner_->record();
  }

  void wait(const kernels::event& point) override {
    inner_->wait(point);
  }

  void notify(std::function<void(const kernels::stream_status&)> fn) override {
    notices_.push_back(std::move(fn));
  }

  size_t num_held() const {
    return notices_.size();
  }

  /// Comes to the oldest notice.
  void advance(const std::string& failure = "") {
    ASSERT_FALSE(notices_.empty());
    kernels::synchronize(*inner_);
    auto fn = std::move(notices_.front());
    notices_.pop_front();
    kernels::stream_status status;
    status.failure = failure;
    fn(status);
  }

private:
  std::unique_ptr<kernels::stream> inner_;
  std::deque<std::function<void(const kernels::stream_status&)>> notices_;
};

} // namespace troupe
