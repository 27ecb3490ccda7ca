#pragma once

/// A writer of placements alone: the test is workers and ranks.

#include "runtime/cluster/placement_writer.hpp"

#include <gtest/gtest.h>

namespace troupe {

using namespace std::chrono_literals;

using kind = writer_action::kind;
using phase = placement_writer::phase;

inline const char* name_of(slots_step x) {
  const char* names[] = {"load", "drop", "serve", "retire"};
  return names[size_t(x)];
}

inline std::string text_of(const writer_action& x) {
  switch (x.what) {
    case kind::instruct:
      return std::string{name_of(x.step)} + " " + std::to_string(x.worker);
    case kind::publish:
      return "publish " + std::to_string(x.epoch);
    case kind::done:
      return "done";
    case kind::abort:
      return "abort";
    case kind::give_up:
      return "give up";
    case kind::keep:
      return "keep";
  }
  return "?";
}

/// Two ranks on node 0 and 1; one MoE layer, three experts, three workers on
/// nodes 1, 2 and 3, each with `num_spare` slots to spare.
class PlacementWriter : public testing::Test {
protected:
  void begin(uint32_t num_spare = 1,
             clock::instant::duration patience_of_steps = 1min) {
    first_ = {1, 3, 3, {1, 2, 3}, 0, 1, 0, num_spare};
    writer_ = std::make_unique<placement_writer>(
      first_,
      placement_writer::settings{{{0, 0}, {1, 1}}, 10s, patience_of_steps, {}});
  }

  /// The same, but worker 2 comes later: what it has at first, experts 1 and 2,
  /// the others have, too.
  void begin_without_last(uint32_t num_spare = 1) {
    first_ = {1, 3, 3, {1, 2, 3}, 0, 1, 3, num_spare, {}, {3}};
    writer_ = std::make_unique<placement_writer>(
      first_, placement_writer::settings{{{0, 0}, {1, 1}}, 10s, 1min, {3}});
  }

  /// What is to be done, in words.
  std::string todo() {
    std::string out;
    for (auto& x : writer_->take_actions())
      out += (out.empty() ? "" : ", ") + text_of(x);
    return out;
  }

  /// Expert 0 moves from worker 0 to worker 1.
  placement_lists moved() {
    auto out = writer_->current().lists();
    ++out.epoch;
    for (auto& x : out.replicas)
      if (x.expert == 0)
        x.replica.at = {1, 1};
    return out;
  }

  void step(worker_id worker, slots_step what, const std::string& why = "") {
    writer_->stepped(writer_->change(), worker, what, why, now_);
  }

  void take_all(uint32_t epoch) {
    writer_->taken(0, epoch, now_);
    writer_->taken(1, epoch, now_);
  }

  /// All is loaded: ranks plan with it and workers forget the one before.
  void go_through(uint32_t epoch) {
    take_all(epoch);
    for (worker_id w = 0; w < 3; ++w)
      step(w, slots_step::retire);
    todo();
    ASSERT_EQ(writer_->at(), phase::idle);
    ASSERT_EQ(writer_->current().epoch(), epoch);
  }

  /// In epoch 2, and worker 0 is full.
  void give_worker_0_expert_1() {
    auto next = writer_->current().lists();
    ++next.epoch;
    next.replicas.push_back({0, 1, {{0, 1}, 1}});
    ASSERT_TRUE(writer_->ask(next, now_));
    step(0, slots_step::load);
    go_through(2);
  }

  placement first_;
  std::unique_ptr<placement_writer> writer_;
  clock::instant now_{1h};
};

} // namespace troupe
