#include "runtime/balance/slot_flow.hpp"

#include "tests/unit/runtime/made_loads.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <set>

namespace troupe::balance {
namespace {

/// By the theorem of max-flow and min-cut: some experts can have no other
/// workers than they have together.
double least_possible(const layout_shape& shape,
                      std::span<const uint32_t> experts,
                      std::span<const double> loads) {
  double most = 0;
  for (uint32_t set = 1; set < 1u << shape.num_experts; ++set) {
    std::set<uint32_t> workers;
    double sum = 0;
    for (uint32_t s = 0; s < shape.num_slots; ++s)
      if (set >> experts[s] & 1)
        workers.insert(shape.worker_of(s));
    for (uint32_t e = 0; e < shape.num_experts; ++e)
      sum += set >> e & 1 ? loads[e] : 0;
    most = std::max(most, sum / double(workers.size()));
  }
  return most;
}

double near(double x) {
  return 1e-6 * (1 + x);
}

TEST(SlotFlow, SolvesExactlyWhateverTheSlots) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto shape = made_shape(rng);
    if (shape.num_experts > 10)
      continue;
    auto loads = made_loads(shape.num_experts, rng, 1.5);
    auto slots = made_layout(shape, rng, seed % 2).experts;
    auto expected = least_possible(shape, slots, loads);
    slot_flow flow{shape, slots, loads};
    EXPECT_NEAR(flow.solve(), expected, near(expected));
    auto there = worker_loads(shape, flow.layout(), loads);
    EXPECT_NEAR(std::ranges::max(there), expected, near(expected));
    for (size_t g = 0; g < there.size(); ++g)
      EXPECT_NEAR(there[g], flow.level(g), near(expected));
  }
}

TEST(SlotFlow, RelievesTheFullestAsFarAsIsPossible) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto shape = made_shape(rng);
    if (shape.num_experts > 10)
      continue;
    auto loads = made_loads(shape.num_experts, rng, 1.5);
    auto slots = made_layout(shape, rng, false).experts;
    slot_flow flow{shape, slots, loads};
    auto expected = least_possible(shape, slots, loads);
    EXPECT_NEAR(flow.relieve(), expected, 3e-6 * (1 + expected));
  }
}

TEST(SlotFlow, SettlingNeverFillsTheFullestFurtherAndLosesNothing) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    auto shape = made_shape(rng);
    auto loads = made_loads(shape.num_experts, rng);
    slot_flow flow{shape, made_layout(shape, rng, false).experts, loads};
    auto before = flow.level(flow.fullest());
    uint32_t expert = uint32_t(rng() % shape.num_experts);
    flow.settle(std::span{&expert, 1}, 100);
    EXPECT_LE(flow.level(flow.fullest()), before * (1 + 1e-9));
    double all = 0, wanted = 0;
    for (auto x : flow.levels())
      all += x;
    for (auto x : loads)
      wanted += x;
    EXPECT_NEAR(all, wanted, near(wanted));
  }
}

TEST(SlotFlow, WhatWasPutElsewhereAndBackIsAsItWas) {
  const layout_shape shape{3, 6, 3};
  const std::vector<double> loads{6, 3, 1};
  slot_flow flow{shape, first_layout(shape).experts, loads};
  flow.solve();
  auto before = flow.layout();
  slot_flow::amounts saved;
  flow.save(saved);
  flow.put(4, 0);
  EXPECT_EQ(flow.count_of(0), 3u);
  EXPECT_TRUE(flow.holds(2, 0));
  flow.put(4, 1);
  flow.restore(saved);
  EXPECT_EQ(flow.layout(), before);
}

} // namespace
} // namespace troupe::balance
