#include "runtime/balance/expert_balancer.hpp"

#include "runtime/balance/eplb.hpp"
#include "runtime/balance/plan_check.hpp"
#include "runtime/balance/slot_packing.hpp"
#include "tests/unit/runtime/made_loads.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace troupe::balance {
namespace {

const layout_shape decode{256, 288, 144, 18, 8};
const layout_shape prefill{256, 288, 32, 4, 8};

double fullest(const layout_shape& shape, const layer_layout& x,
               std::span<const double> loads) {
  return std::ranges::max(worker_loads(shape, x, loads));
}

layer_plan plan_of(const layer_state& x, const balance_options& options = {}) {
  auto out = expert_balancer{options}.plan(x);
  auto ok = check_plan(x, out);
  EXPECT_TRUE(ok) << ok.why().message;
  return out;
}

uint64_t copies_of(const layer_plan& x) {
  uint64_t out = 0;
  for (auto& step : x.steps)
    out += step.num_moves();
  return out;
}

TEST(LeastLargestLoad, IsBelowEveryLayoutThatThereIs) {
  // All of them, for small shapes.
  for (auto shape :
       {layout_shape{3, 4, 2}, layout_shape{4, 6, 3}, layout_shape{5, 6, 3},
        layout_shape{4, 5, 5}, layout_shape{5, 6, 2}})
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(seed);
      std::mt19937_64 rng{seed};
      auto loads = made_loads(shape.num_experts, rng, 1.2);
      auto bound = least_largest_load(shape, loads);
      auto best = std::numeric_limits<double>::infinity();
      std::vector<uint32_t> slots(shape.num_slots);
      std::function<void(uint32_t)> fill = [&](uint32_t s) {
        if (s < shape.num_slots) {
          for (slots[s] = 0; slots[s] < shape.num_experts; ++slots[s])
            fill(s + 1);
          return;
        }
        for (uint32_t e = 0; e < shape.num_experts; ++e)
          if (std::ranges::count(slots, e) == 0)
            return;
        slot_flow flow{shape, slots, loads};
        best = std::min(best, flow.solve());
      };
      fill(0);
      EXPECT_LE(bound, best * (1 + 1e-9));
      auto ours = fullest(shape, plan_of({shape, loads, {}}).layout, loads);
      EXPECT_LE(ours, best * 1.1) << "the best there is, but for little";
    }
}

TEST(ExpertBalancer, FillsAnyShapeAndIsNeverBehindTheGreedyOne) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto shape = made_shape(rng);
    auto loads = made_loads(shape.num_experts, rng, 0.3 + double(seed % 5) / 3);
    if (seed % 7 == 0)
      loads[rng() % loads.size()] = 0;
    auto ours = fullest(shape, plan_of({shape, loads, {}}).layout, loads);
    auto theirs = fullest(shape, balance_eplb(shape, loads), loads);
    EXPECT_LE(ours, theirs * (1 + 1e-6));
    EXPECT_GE(ours, least_largest_load(shape, loads) * (1 - 1e-9));
  }
}

TEST(ExpertBalancer, IsCloseToTheBoundWhereSlotsAreMany) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto loads = made_loads(256, rng);
    auto ours = fullest(prefill, plan_of({prefill, loads, {}}).layout, loads);
    EXPECT_GE(least_largest_load(prefill, loads) / ours, 0.995);
  }
}

TEST(ExpertBalancer, GainsHalfAPointByWeightsAndCountsWhereSlotsAreFew) {
  double gained = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    std::mt19937_64 rng{seed};
    auto loads = made_loads(256, rng);
    auto x = plan_of({decode, loads, {}}).layout;
    gained
      += balance_of(worker_loads(decode, x, loads))
         - balance_of(worker_loads(decode, balance_eplb(decode, loads), loads));
  }
  EXPECT_GE(gained / 12, 0.005);
}

TEST(ExpertBalancer, SpreadsReplicasOverNodes) {
  for (auto& shape : {decode, prefill}) {
    std::mt19937_64 rng{5};
    auto x = plan_of({shape, made_loads(256, rng), {}}).layout;
    for (uint32_t e = 0; e < 256; ++e) {
      std::vector<uint32_t> of_node(shape.num_nodes);
      uint32_t count = 0;
      for (uint32_t s = 0; s < shape.num_slots; ++s)
        if (x.experts[s] == e) {
          ++of_node[shape.node_of(shape.worker_of(s))];
          ++count;
        }
      EXPECT_LE(std::ranges::max(of_node), most_of_node(shape, count));
    }
  }
}

TEST(ExpertBalancer, AfterADriftNoStepIsWorseAndFewCopiesAreMade) {
  for (auto& shape : {decode, prefill})
    for (uint64_t seed = 0; seed < 6; ++seed) {
      SCOPED_TRACE(seed);
      std::mt19937_64 rng{seed};
      auto old = made_loads(256, rng);
      auto now = old;
      for (auto& x : now)
        x *= std::exp(0.5 * std::normal_distribution<double>{}(rng));
      layer_state state{shape, now, plan_of({shape, old, {}}).layout};
      auto before = fullest(shape, *state.present, now);
      auto plan = plan_of(state);
      EXPECT_LT(fullest(shape, plan.layout, now), 0.9 * before);
      auto copies = count_moves(shape, state.present->experts,
                                plan.layout.experts);
      EXPECT_LE(copies, copies_of(plan));
      auto theirs = count_moves(shape, balance_eplb(shape, old).experts,
                                balance_eplb(shape, now).experts);
      EXPECT_LE(5 * copies, theirs);
    }
}

TEST(ExpertBalancer, ImprovesWhateverLayoutThereIs) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto shape = made_shape(rng);
    layer_state state{shape, made_loads(shape.num_experts, rng),
                      made_layout(shape, rng, seed % 3 == 0)};
    plan_of(state);
    plan_of(state, {0, 10}); // Whatever it costs.
  }
}

TEST(ExpertBalancer, APlanThatGoesOnIsDoneSometime) {
  std::mt19937_64 rng{3};
  layer_state state{prefill, made_loads(256, rng), first_layout(prefill)};
  for (int round = 0; round < 10; ++round) {
    auto plan = plan_of(state);
    EXPECT_LE(copies_of(plan), 0.18 * 288);
    state.present = plan.layout;
    if (plan.steps.empty())
      break;
  }
  EXPECT_TRUE(plan_of(state).steps.empty());
  EXPECT_GT(balance_of(worker_loads(prefill, *state.present, state.loads)),
            0.99);
}

TEST(ExpertBalancer, ACopyHasToPayForItsBytesInTime) {
  // 44 MB against 21.5 kB for a row, 20,000 rows a second.
  copy_price price{44e6, 21.5e3, 20'000, 60};
  EXPECT_NEAR(price.least_gain(), 0.0017, 0.0001);
  std::mt19937_64 rng{4};
  layer_state state{decode, made_loads(256, rng), first_layout(decode)};
  uint64_t last = UINT64_MAX;
  for (double seconds : {3600.0, 60.0, 5.0, 0.1, 0.001}) {
    price.seconds = seconds;
    auto copies = copies_of(plan_of(state, {price.least_gain(), 10}));
    EXPECT_LE(copies, last);
    last = copies;
  }
  EXPECT_EQ(last, 0u);
}

TEST(ExpertBalancer, WithoutLoadNothingMoves) {
  layer_state state{prefill, std::vector<double>(256), first_layout(prefill)};
  auto plan = plan_of(state);
  EXPECT_TRUE(plan.steps.empty());
  EXPECT_EQ(plan.layout, *state.present);
  state.present.reset();
  EXPECT_EQ(plan_of(state).layout.experts.size(), 288u);
}

} // namespace
} // namespace troupe::balance
