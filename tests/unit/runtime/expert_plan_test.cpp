#include "runtime/balance/expert_plan.hpp"

#include "runtime/balance/expert_balancer.hpp"
#include "runtime/balance/plan_check.hpp"
#include "runtime/dispatch/placement_change.hpp"
#include "tests/unit/runtime/made_loads.hpp"

#include <gtest/gtest.h>

namespace troupe::balance {
namespace {

using weights = std::vector<uint16_t>;

clock::instant never() {
  return {};
}

std::vector<node_id> nodes_of(uint32_t num_workers, uint32_t each) {
  std::vector<node_id> out;
  for (uint32_t w = 0; w < num_workers; ++w)
    out.push_back(node_id(1 + w / each));
  return out;
}

/// Of all layers, by the weights that replicas have.
double placed_balance(const placement& map, const load_table& loads) {
  double out = 0;
  for (uint32_t l = 0; l < map.num_moe_layers(); ++l) {
    std::vector<double> sums(map.num_workers());
    for (uint32_t e = 0; e < map.num_experts(); ++e) {
      double sum = 0;
      for (auto& x : map.replicas_of(l, e))
        sum += x.weight;
      for (auto& x : map.replicas_of(l, e))
        sums[x.at.worker] += loads.loads[l][e] * x.weight / sum;
    }
    out += balance_of(sums) / map.num_moe_layers();
  }
  return out;
}

load_table made_table(const placement& map, std::mt19937_64& rng) {
  load_table out{map.num_experts(), {}, {}};
  for (uint32_t l = 0; l < map.num_moe_layers(); ++l) {
    out.layers.push_back(l);
    out.loads.push_back(made_loads(map.num_experts(), rng));
  }
  return out;
}

/// Carries a plan out, change by change, and looks at each.
placement carry_out(placement map, expert_plan plan, const load_table& loads,
                    uint32_t most, const std::set<node_id>& absent = {}) {
  for (int i = 0; i < 1000; ++i) {
    auto change = cut_change(map, plan, most);
    if (!change)
      return map;
    EXPECT_LE(change->copies.size(), most);
    auto planned = plan_change(map, change->next, absent);
    EXPECT_TRUE(planned) << planned.why().message;
    if (!planned)
      return map;
    size_t arriving = 0;
    for (auto& [worker, slots] : planned->arriving)
      arriving += slots.size();
    EXPECT_EQ(arriving, change->copies.size());
    // Weights are whole numbers: a little may be lost to that on the way.
    EXPECT_GE(placed_balance(planned->next, loads),
              placed_balance(map, loads) - 0.02);
    map = planned->next;
  }
  ADD_FAILURE() << "it does not come to an end";
  return map;
}

} // namespace

TEST(PlacedLayer, WeightsAreWholeAndEvenOnesAreOne) {
  EXPECT_EQ(weights_of(std::vector{1.0}), (weights{1}));
  EXPECT_EQ(weights_of(std::vector{0.5, 0.5}), (weights{1, 1}));
  EXPECT_EQ(weights_of(std::vector{0.34, 0.33, 0.33}), (weights{1, 1, 1}));
  EXPECT_EQ(weights_of(std::vector{0.75, 0.25}), (weights{3, 1}));
  EXPECT_EQ(weights_of(std::vector{1.0, 0.0}), (weights{15, 1}));
  EXPECT_EQ(weights_of(std::vector{0.99, 0.005, 0.005}), (weights{14, 1, 1}));
}

TEST(PlacedLayer, SeesWhoHoldsWhatAndWhatIsFree) {
  placement map{2, 5, 2, {1, 2}, 0, 1, 1, 2}; // 3 and 3 of 5 slots each
  auto x = see_layer(map, 1, std::vector<double>{1, 2, 3, 4, 5}, {});
  ASSERT_TRUE(x);
  EXPECT_EQ(x->state.present->experts,
            (std::vector<uint32_t>{0, 1, 2, 0, 3, 4}));
  EXPECT_EQ(x->state.present->shares,
            (std::vector<double>{0.5, 1, 1, 0.5, 1, 1}));
  EXPECT_EQ(x->free_slots, (std::vector<uint32_t>{2, 2}));
  EXPECT_EQ(x->state.shape.num_nodes, 2u);
}

/// Seven experts on three workers: two, two and three.
TEST(PlacedLayer, WhoHoldsFewerLacksSomebodyWhoIsNobody) {
  placement map{1, 7, 3, {1, 1, 2}, 0, 1, 0, 1};
  auto x = see_layer(map, 0, std::vector<double>(7, 1), {});
  ASSERT_TRUE(x);
  EXPECT_EQ(x->num_real, 7u);
  EXPECT_EQ(x->state.shape.num_experts, 9u);
  EXPECT_EQ(x->state.loads.back(), 0);
  EXPECT_EQ(x->state.shape.num_nodes, 1u);
  EXPECT_TRUE(check_plan(x->state, {{}, *x->state.present}));
}

TEST(PlacedLayer, WhoIsLostTakesNoPart) {
  placement map{1, 4, 4, {1, 1, 2, 2}, 0, 1, 4, 1};
  std::vector<double> loads(4, 1);
  EXPECT_FALSE(see_layer(map, 0, loads, {2})) << "it is still turned to";
  auto left = map.left_by({2});
  auto x = see_layer(left, 0, loads, {2});
  ASSERT_TRUE(x);
  EXPECT_EQ(x->workers, (std::vector<worker_id>{0, 1}));
  placement bare{1, 4, 4, {1, 1, 2, 2}, 0, 1, 0, 1};
  EXPECT_FALSE(see_layer(bare.left_by({2}), 0, loads, {2})) << "some wait";
}

/// Workers 1 and 3 are another's.
TEST(PlacedLayer, AUnitHasItsOwnWorkers) {
  placement map{1, 4, 4, {1, 1, 2, 2}, 1, 1, 0, 1, {0, 2}};
  load_table loads{4, {0}, {{900, 800, 100, 100}}};
  auto x = see_layer(map, 0, loads.loads[0], {});
  ASSERT_TRUE(x);
  EXPECT_EQ(x->workers, (std::vector<worker_id>{0, 2}));
  EXPECT_EQ(x->state.shape.num_nodes, 2u);
  auto plan = plan_experts({map, {}, loads, {}}, nullptr, never);
  auto change = cut_change(map, plan, 8);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->next.unit, 1u);
  auto then = map.with(change->next);
  ASSERT_TRUE(then) << then.why().message;
  EXPECT_EQ(change->copies.size(), 2u) << "one for another";
}

TEST(ExpertPlan, BringsWorkersTogetherInChangesThatHaveRoom) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 rng{seed};
    auto workers = uint32_t(2 + rng() % 7);
    auto experts = uint32_t(workers * (1 + rng() % 6) + rng() % 3);
    auto redundant = uint32_t(rng() % (experts + 1));
    auto spare = uint32_t(1 + rng() % 3);
    placement map{2, experts, workers,   nodes_of(workers, 2),
                  0, 1,       redundant, spare};
    plan_matter x{map, {}, made_table(map, rng), {}};
    auto plan = plan_experts(x, nullptr, never);
    EXPECT_EQ(plan.refusal, "");
    EXPECT_NEAR(plan.balance, placed_balance(map, x.loads), 1e-9);
    EXPECT_GE(plan.planned, plan.balance - 1e-9);
    auto then = carry_out(map, plan, x.loads, uint32_t(2 + rng() % 20));
    EXPECT_NEAR(placed_balance(then, x.loads), plan.planned, 0.05);
    EXPECT_EQ(then.lists().replicas.size(), map.lists().replicas.size());
  }
}

TEST(ExpertPlan, ExpertsKeepAsManyReplicasAsTheyHaveTo) {
  for (uint32_t least : {1, 2}) {
    placement map{1, 8, 8, nodes_of(8, 2), 0, 1, 8, 1}; // all have two
    load_table loads{8, {0}, {{4000, 500, 500, 500, 500, 500, 500, 500}}};
    plan_matter x{map, {}, loads, {}, least};
    auto then = carry_out(map, plan_experts(x, nullptr, never), loads, 4);
    EXPECT_EQ(placed_balance(then, loads) > 0.6, least == 1)
      << "half of all rows are of one";
    size_t fewest = 9;
    for (uint32_t e = 0; e < 8; ++e)
      fewest = std::min(fewest, then.replicas_of(0, e).size());
    EXPECT_EQ(fewest, least);
  }
}

TEST(ExpertPlan, NothingIsDoneWithoutGain) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  load_table even{8, {0}, {std::vector<double>(8, 1000)}};
  auto plan = plan_experts({map, {}, even, {}}, nullptr, never);
  EXPECT_EQ(plan.balance, 1);
  EXPECT_TRUE(plan.goals.empty());
  EXPECT_FALSE(cut_change(map, plan, 8));
}

/// Worker 0 has somewhat more than others, by few rows and by many.
TEST(ExpertPlan, ChanceIsNoReason) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  for (auto many : {2, 100}) {
    load_table loads{8, {0}, {{11, 10.5, 9.5, 9, 10, 10, 10, 10}}};
    for (auto& x : loads.loads[0])
      x *= many;
    auto plan = plan_experts({map, {}, loads, {}}, nullptr, never);
    EXPECT_EQ(plan.goals.empty(), many == 2) << many;
  }
}

TEST(ExpertPlan, ACopyHasToPayForItself) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  load_table loads{8, {0}, {{900, 800, 100, 100, 100, 100, 100, 100}}};
  plan_matter x{map, {}, loads, {}};
  EXPECT_FALSE(plan_experts(x, nullptr, never).goals.empty());
  x.limits.least_gain = 2; // twice the mean of a worker
  EXPECT_TRUE(plan_experts(x, nullptr, never).goals.empty());
}

TEST(ExpertPlan, WithoutRoomNothingIsAskedFor) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 0};
  load_table loads{8, {0}, {{900, 800, 100, 100, 100, 100, 100, 100}}};
  auto plan = plan_experts({map, {}, loads, {}}, nullptr, never);
  EXPECT_FALSE(plan.goals.empty());
  EXPECT_FALSE(cut_change(map, plan, 8));
}

TEST(ExpertPlan, EachCopySaysWhereFromAndWhy) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  load_table loads{8, {0}, {{900, 800, 100, 100, 100, 100, 100, 100}}};
  auto plan = plan_experts({map, {}, loads, {}}, nullptr, never);
  auto change = cut_change(map, plan, 8);
  ASSERT_TRUE(change);
  ASSERT_FALSE(change->copies.empty());
  double gain = 0;
  for (auto& x : change->copies) {
    gain += x.gain;
    EXPECT_EQ(x.reason.rfind("worker 0 got 2.96 times the mean", 0), 0u)
      << x.reason;
    EXPECT_TRUE(x.from) << "nobody has two replicas";
  }
  auto then = map.with(change->next);
  ASSERT_TRUE(then);
  EXPECT_NEAR(gain,
              1 / placed_balance(map, loads) - 1 / placed_balance(*then, loads),
              1e-9);
}

namespace {

/// Puts expert 0 everywhere.
class bad_policy final : public expert_policy {
public:
  layer_plan plan(const layer_state& x) override {
    ++asked;
    auto out = layer_plan{{}, *x.present};
    for (auto& e : out.layout.experts)
      e = 0;
    return out;
  }

  uint32_t asked = 0;
};

/// As the built-in one would have it, but it takes its time; or boasts.
class other_policy final : public expert_policy {
public:
  layer_plan plan(const layer_state& x) override {
    time += takes;
    ++asked;
    auto out = built_in_.plan(x);
    for (auto& step : out.steps)
      step.after = 0;
    return out;
  }

  clock::instant::duration takes{};
  clock::instant time{};
  uint32_t asked = 0;

private:
  expert_balancer built_in_{{.least_gain = 0, .most_copied = 1}};
};

} // namespace

TEST(ExpertPlan, WhatBreaksAnInvariantIsRefusedAndTheBuiltInOneActs) {
  placement map{3, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  std::vector<double> row{900, 800, 100, 100, 100, 100, 100, 100};
  load_table loads{8, {0, 1, 2}, {row, row, row}};
  bad_policy bad;
  auto plan = plan_experts({map, {}, loads, {}}, &bad, never);
  EXPECT_NE(plan.refusal.find("expert 0 twice"), std::string::npos)
    << plan.refusal;
  EXPECT_EQ(bad.asked, 1u) << "it is not asked again with this plan";
  auto own = plan_experts({map, {}, loads, {}}, nullptr, never);
  EXPECT_EQ(plan.planned, own.planned);
  EXPECT_EQ(plan.goals.size(), 3u);
}

TEST(ExpertPlan, WhoTakesLongIsNotAskedAgain) {
  placement map{3, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  std::vector<double> row{900, 800, 100, 100, 100, 100, 100, 100};
  load_table loads{8, {0, 1, 2}, {row, row, row}};
  plan_matter x{map, {}, loads, {}};
  x.limits.budget = std::chrono::milliseconds{10};
  other_policy slow;
  slow.takes = std::chrono::milliseconds{6};
  auto plan = plan_experts(x, &slow, [&] { return slow.time; });
  EXPECT_NE(plan.refusal.find("longer than it may"), std::string::npos);
  EXPECT_EQ(slow.asked, 2u);
  EXPECT_EQ(plan.goals.size(), 3u);
}

TEST(ExpertPlan, GainsAreMeasuredAndNotBelieved) {
  placement map{1, 8, 4, nodes_of(4, 1), 0, 1, 0, 1};
  load_table loads{8, {0}, {{900, 800, 100, 100, 100, 100, 100, 100}}};
  plan_matter x{map, {}, loads, {}};
  x.limits.least_gain = 2;
  other_policy boaster;
  auto plan = plan_experts(x, &boaster, never);
  EXPECT_EQ(plan.refusal, "");
  EXPECT_TRUE(plan.goals.empty());
}

} // namespace troupe::balance
