#include "runtime/sim/random_faults.hpp"

#include "runtime/fnv.hpp"
#include "runtime/sim/fault_plan.hpp"

#include <gtest/gtest.h>

#include <set>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

run_facts small_cluster() {
  run_facts out;
  out.nodes = {"front", "rank-0", "rank-1", "worker-0", "worker-1"};
  out.links = {{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}};
  out.num_requests = 8;
  out.length = 200ms;
  out.patience = 1s;
  out.events[size_t(trace_kind::frame_sent)] = 5000;
  out.events[size_t(trace_kind::token_emitted)] = 128;
  out.events[size_t(trace_kind::operation_ended)] = 9000;
  out.events_before[size_t(trace_kind::allocation)] = 500;
  out.breaks_the_start = true;
  return out;
}

std::set<fault_kind> kinds_of(const std::vector<fault>& plan) {
  std::set<fault_kind> out;
  for (auto& x : plan)
    out.insert(x.kind);
  return out;
}

} // namespace

TEST(RandomFaults, AreTheSameOnEveryMachine) {
  auto facts = small_cluster();
  std::string all;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    all += render(random_faults(seed, facts));
    EXPECT_EQ(random_faults(seed, facts), random_faults(seed, facts));
  }
  EXPECT_EQ(fnv_1a(std::string_view{all}), 13080424573336428415u);
}

TEST(RandomFaults, KeepRowsForAsLongAsAStepWaitsForThem) {
  auto facts = small_cluster();
  facts.step_patience = 30s;
  uint32_t num_longer = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed)
    for (auto& x : random_faults(seed, facts)) {
      EXPECT_LE(x.lasts, x.frames == frame_filter::rows ? 60s : 3s) << seed;
      num_longer += x.lasts > 30s;
    }
  EXPECT_GT(num_longer, 20u);
}

TEST(RandomFaults, AreFaultsThatAFileCanHold) {
  auto facts = small_cluster();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    auto plan = random_faults(seed, facts);
    EXPECT_LE(plan.size(), max_random_faults);
    auto back = parse_fault_plan(render(plan), "seed",
                                 {facts.nodes, facts.num_requests});
    ASSERT_TRUE(back) << seed << ": " << back.why().message;
    EXPECT_EQ(*back, plan) << seed;
    EXPECT_EQ(draw_targets(plan, seed + 1, facts), plan)
      << seed << " leaves nobody to be drawn";
  }
}

TEST(RandomFaults, ReachEveryKindAndEveryNumber) {
  auto facts = small_cluster();
  facts.moves_experts = true;
  facts.later = {4};
  std::array<int, num_fault_kinds> kinds{};
  std::array<int, max_random_faults + 1> counts{};
  int at_events = 0, longer = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    auto plan = random_faults(seed, facts);
    ++counts[plan.size()];
    for (auto& x : plan) {
      ++kinds[size_t(x.kind)];
      at_events += x.trigger == fault_trigger::on ? 1 : 0;
      longer += x.lasts > facts.patience ? 1 : 0;
      EXPECT_FALSE(x.must_happen);
      EXPECT_LT(x.at, facts.length);
      EXPECT_TRUE(x.trigger != fault_trigger::on
                  || x.nth_event <= facts.events[size_t(x.event)]);
      EXPECT_FALSE(x.kind == fault_kind::kill && x.node == "front");
      EXPECT_TRUE(x.kind != fault_kind::join || x.node == "worker-1");
    }
  }
  for (size_t i = 0; i < kinds.size(); ++i)
    EXPECT_GT(kinds[i], 100) << form_of(fault_kind(i)).name;
  for (size_t i = 0; i < counts.size(); ++i)
    EXPECT_GT(counts[i], 200) << i;
  EXPECT_GT(at_events, 1000);
  EXPECT_GT(longer, 100);
}

TEST(RandomFaults, LetMemoryBeMissingWhereItIsClaimed) {
  auto facts = small_cluster();
  std::set<uint64_t> calls;
  for (uint64_t seed = 0; seed < 2000; ++seed)
    for (auto& x : random_faults(seed, facts))
      if (x.kind == fault_kind::alloc_fail) {
        EXPECT_EQ(x.trigger, fault_trigger::at);
        EXPECT_EQ(x.at, 0s) << "later nothing is claimed";
        EXPECT_LE(x.nth, 101u) << "of a node";
        calls.insert(x.nth);
      }
  EXPECT_GT(calls.size(), 20u);
  facts.breaks_the_start = false;
  for (uint64_t seed = 0; seed < 2000; ++seed)
    EXPECT_FALSE(
      kinds_of(random_faults(seed, facts)).contains(fault_kind::alloc_fail));
}

TEST(RandomFaults, LeaveSomeKindsOutInEverySeed) {
  // Faults of a seed are more alike than those of different seeds: of four
  // from all sixteen kinds, 67 in 100 times no two would be of one kind.
  auto facts = small_cluster();
  int full = 0, alike = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    auto plan = random_faults(seed, facts);
    if (plan.size() < 4)
      continue;
    ++full;
    alike += kinds_of(plan).size() < 4 ? 1 : 0;
  }
  EXPECT_GT(alike * 100, full * 45);
}

TEST(RandomFaults, SpareWhomThereIsNone) {
  auto facts = small_cluster();
  facts.nodes = {"solo"};
  facts.links.clear();
  facts.num_requests = 0;
  for (uint64_t seed = 0; seed < 500; ++seed)
    for (auto& x : random_faults(seed, facts)) {
      EXPECT_EQ(form_of(x.kind).target, fault_target_kind::node);
      EXPECT_NE(x.kind, fault_kind::kill);
    }
}

TEST(DrawTargets, DependsOnTheFaultAndNotOnTheOthers) {
  auto facts = small_cluster();
  fault kill, cut, vanish;
  kill.node = any_name;
  cut.kind = fault_kind::cut;
  cut.node = "rank-0";
  cut.peer = any_name;
  cut.lasts = 1s;
  vanish.kind = fault_kind::client_vanish;
  std::set<std::string> killed, others;
  std::set<uint32_t> vanished;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    auto all = draw_targets({kill, cut, vanish}, seed, facts);
    EXPECT_EQ(draw_targets({cut}, seed, facts).front(), all[1]);
    EXPECT_EQ(draw_targets({vanish, kill}, seed, facts).back(), all[0]);
    EXPECT_EQ(all[1].node, "rank-0");
    killed.insert(all[0].node);
    others.insert(all[1].peer);
    vanished.insert(all[2].request.value());
  }
  EXPECT_EQ(killed, (std::set<std::string>{"rank-0", "rank-1", "worker-0",
                                           "worker-1"}));
  EXPECT_EQ(others, (std::set<std::string>{"front", "worker-0", "worker-1"}));
  EXPECT_EQ(vanished.size(), 8u);
}
