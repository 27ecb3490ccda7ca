#pragma once

/// A walk through a small model, whose owner is the test.

#include "runtime/pipeline/step_walk.hpp"

#include "tests/dispatch_plans.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace troupe::walking {

using namespace std::chrono_literals;

constexpr uint32_t top_k = 2;
constexpr uint64_t row_bytes = 4;
constexpr rank_id rank = 3;

/// Three layers, the first without experts:
///
///    0 prepare   1 attention   2 dense_mlp
///    3 prepare   4 attention   5 route
///    6 dispatch  7 shared_expert
///    8 combine   9 prepare  10 attention  11 route
///   12 dispatch 13 shared_expert
///   14 combine  15 head
///   16 end
inline model_config small_config() {
  model_config out;
  out.num_hidden_layers = 3;
  out.first_k_dense_replace = 1;
  out.n_routed_experts = 4;
  return out;
}

inline std::string text_of(const walk_action& x) {
  using enum walk_action::kind;
  auto lane = x.lane == 0 ? "" : "lane " + std::to_string(x.lane) + " ";
  switch (x.what) {
    case run:
      return lane + "run " + std::to_string(x.first) + "-"
             + std::to_string(x.last);
    case notify:
      return lane + "notify";
    case dispatch:
      return lane + "dispatch";
    case land:
      return lane + "land";
    case back:
      return lane + "back";
    case end:
      return lane + "end";
    case fail:
      return lane + "fail";
  }
  return "?";
}

/// A walk whose owner is the test.
class walker {
public:
  explicit walker(uint8_t num_lanes = 1) {
    step_walk::settings x;
    x.rank = rank;
    x.node = 0;
    x.num_lanes = num_lanes;
    x.step_timeout = 100ms;
    walk_ = std::make_unique<step_walk>(
      x, table_, std::make_shared<const placement>(map_));
  }

  step_walk& walk() {
    return *walk_;
  }

  /// Remembers the serials that were given, and says what is to be done.
  std::string hear(const walk_actions& actions) {
    std::string out;
    for (auto& x : actions) {
      if (x.what == walk_action::kind::notify)
        serial_[x.lane] = x.serial;
      out += (out.empty() ? "" : ", ") + text_of(x);
    }
    return out.empty() ? "-" : out;
  }

  uint32_t serial(uint8_t lane = 0) const {
    return serial_[lane];
  }

  /// Four answers: two of worker 0 here, two of worker 1 on the other node.
  dispatch_plan plan() const {
    const std::vector<int32_t> experts = {0, 2, 1, 3};
    return plan_dispatch(map_, 0, experts, top_k);
  }

  /// Dispatches the plan.
  walk_actions dispatch(uint8_t lane = 0) {
    walk_->plan_of(lane) = plan();
    return walk_->dispatched(lane);
  }

  std::string answer(const answer_section& x, const dispatch_key& of) {
    return answer(x, of, map_.node_of(x.worker));
  }

  std::string answer(const answer_section& x, const dispatch_key& of,
                     node_id from) {
    auto head = answer_head(1);
    std::vector<std::byte> slab(head + x.count * row_bytes);
    write_answer_head(slab.data(), {&x, 1});
    return hear(walk_->rows(of, from, read_answers(slab, row_bytes)));
  }

  std::string answer(const answer_section& x) {
    return answer(x, walk_->key_of(0));
  }

private:
  model_config config_ = small_config();
  stage_table table_{config_};
  placement map_{2, 4, 2, {0, 1}};
  std::unique_ptr<step_walk> walk_;
  uint32_t serial_[4] = {};
};

const answer_section all_near{0, 0, 2};
const answer_section all_far{1, 2, 2};

} // namespace troupe::walking
