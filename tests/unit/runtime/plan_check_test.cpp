#include "runtime/balance/plan_check.hpp"

#include "runtime/balance/expert_balancer.hpp"
#include "tests/unit/runtime/made_loads.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace troupe::balance {
namespace {

/// A policy that spoils the plans of a good one.
class spoiler final : public expert_policy {
public:
  explicit spoiler(std::function<void(layer_plan&)> spoil)
    : spoil_(std::move(spoil)) {
  }

  layer_plan plan(const layer_state& x) override {
    auto out = good_.plan(x);
    spoil_(out);
    return out;
  }

private:
  expert_balancer good_;
  std::function<void(layer_plan&)> spoil_;
};

layer_state some_state() {
  const layout_shape shape{8, 12, 4, 2};
  std::mt19937_64 rng{1};
  return {shape, {900, 20, 30, 500, 40, 10, 60, 70}, first_layout(shape)};
}

TEST(PlanCheck, WhatBreaksAnInvariantIsRefusedWithItsReason) {
  struct spoiled {
    const char* why;
    std::function<void(layer_plan&)> how;
  };

  const spoiled cases[] = {
    {"11 slots instead of 12", [](auto& x) { x.layout.experts.pop_back(); }},
    {"is for expert 8 of 8", [](auto& x) { x.layout.experts[3] = 8; }},
    {"twice", [](auto& x) { x.layout.experts[0] = x.layout.experts[1]; }},
    {"11 shares for 12 slots", [](auto& x) { x.layout.shares.pop_back(); }},
    {"not from 0 to 1", [](auto& x) { x.layout.shares[0] = NAN; }},
    {"add up to", [](auto& x) { x.layout.shares[0] += 0.25; }},
    {"steps do not lead", [](auto& x) { x.steps.pop_back(); }},
    {"step 1: it changes nothing",
     [](auto& x) {
       x.steps.insert(x.steps.begin(), layout_step{{0, 0}});
     }},
    {"step 1: it names a slot", [](auto& x) { x.steps[0].first.slot = 12; }},
    {"step 1: expert 4 is nowhere",
     [](auto& x) {
       x.steps.insert(x.steps.begin(), layout_step{{4, 7}});
     }},
    {"the fullest GPU gets",
     [](auto& x) {
       x.steps.insert(x.steps.begin(), layout_step{{8, 5}});
       x.steps.insert(x.steps.begin() + 1, layout_step{{0, 0}});
     }},
  };
  auto state = some_state();
  expert_balancer good;
  ASSERT_FALSE(good.plan(state).steps.empty());
  for (auto& x : cases) {
    spoiler bad{x.how};
    checked_policy checked{bad, good};
    EXPECT_EQ(checked.plan(state), good.plan(state));
    ASSERT_TRUE(checked.refusal()) << x.why;
    EXPECT_NE(checked.refusal()->message.find(x.why), std::string::npos)
      << checked.refusal()->message << "\ninstead of " << x.why;
  }
}

TEST(PlanCheck, NoExpertIsLeftWithFewerReplicasThanItHasToKeep) {
  layout_shape shape{4, 8, 4};
  auto present = first_layout(shape); // 0 1, 2 3, 0 1, 2 3
  layer_state x{shape, {100, 0, 100, 0}, present};
  layer_plan plan{{layout_step{{5, 2}}}, present};
  plan.layout.experts[5] = 2;
  plan.layout.shares = {0.5, 1, 0.5, 0.5, 0.5, 0, 0.5, 0.5};
  EXPECT_TRUE(check_plan(x, plan));
  x.shape.least_replicas = 2;
  auto ok = check_plan(x, plan);
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().message,
            "step 1: expert 1 has 1 replicas left instead of 2");
  expert_balancer good{{.least_gain = 0, .most_copied = 2}};
  EXPECT_TRUE(check_plan(x, good.plan(x)));
}

TEST(PlanCheck, WhatIsSoundIsTaken) {
  auto state = some_state();
  spoiler sound{[](auto&) {}};
  expert_balancer otherwise{{1, 0}}; // Moves nothing.
  checked_policy checked{sound, otherwise};
  EXPECT_FALSE(checked.plan(state).steps.empty());
  EXPECT_FALSE(checked.refusal());
}

TEST(PlanCheck, StepsNeedSomethingToStartFrom) {
  auto state = some_state();
  auto plan = expert_balancer{}.plan(state);
  state.present.reset();
  EXPECT_FALSE(check_plan(state, plan));
  plan.steps.clear();
  EXPECT_TRUE(check_plan(state, plan));
}

} // namespace
} // namespace troupe::balance
