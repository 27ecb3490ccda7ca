/// Companies in a virtual world that grow: a node comes later, at a time that
/// the seed draws.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedGrowth : public SimulatedCompany {
protected:
  /// A front and three nodes of a rank and workers each; the last comes later.
  simulation_options options() {
    load_spec spec;
    spec.requests = 12;
    spec.least_prompt = 3;
    spec.most_prompt = 24;
    spec.most_output = 12;
    spec.least_output = 4;
    auto experts = model_->config().n_routed_experts;
    auto cluster = with_slots(experts, experts);
    auto& nodes = cluster.nodes;
    nodes[1].ranks = {0};
    nodes[3].ranks = {1};
    nodes[3].later = true;
    return options_of(std::move(cluster), spec);
  }

  fault join(virtual_duration when) const {
    return at(when, fault_kind::join, "experts-1");
  }
};

} // namespace

TEST_F(SimulatedGrowth, ServesWithoutTheNodeThatNeverComes) {
  auto all = options();
  ASSERT_EQ(all.company.cluster.nodes[3].name, "experts-1");
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u);
  EXPECT_FALSE(out.reached.has(sometimes::node_came_later));
  EXPECT_FALSE(out.reached.has(sometimes::expert_waited));
  EXPECT_FALSE(out.reached.has(sometimes::change_done))
    << "nothing is repaired of who was never there";
}

TEST_F(SimulatedGrowth, GetsItsNodeWhileRequestsRun) {
  auto all = options();
  uint64_t seed = 1;
  for (auto when : {0ms, 1ms, 3ms, 7ms}) {
    all.what.faults = {join(when)};
    auto out = simulate(++seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    EXPECT_TRUE(out.reached.has(sometimes::node_came_later));
    EXPECT_FALSE(out.reached.has(sometimes::node_came_back));
  }
}

TEST_F(SimulatedGrowth, WhoComesTooEarlyWaitsForTheStart) {
  auto all = options();
  all.break_the_start = true;
  all.what.faults = {join(0ms)};
  auto out = simulate(20, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
  EXPECT_TRUE(out.reached.has(sometimes::node_came_later));
}

/// Each of its processes under a name of its own.
TEST_F(SimulatedGrowth, HasAPlaceForWhomTheTopologyDoesNotName) {
  auto all = options();
  all.company.cluster.nodes[3].open = true;
  uint64_t seed = 60;
  for (auto when : {1ms, 5ms, 200ms}) {
    auto gone = at(when + 800ms,
                   when < 100ms ? fault_kind::kill : fault_kind::leave,
                   "experts-1");
    gone.lasts = 300ms;
    all.what.faults = {join(when), gone};
    auto out = simulate(++seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    EXPECT_TRUE(out.reached.has(sometimes::node_came_later));
    EXPECT_TRUE(out.reached.has(sometimes::node_came_back));
  }
}

TEST_F(SimulatedGrowth, TakesPartInAPlacementThatHasChanged) {
  auto all = options();
  all.what.faults = {at(1ms, fault_kind::move_experts, "experts-0"),
                     join(500ms), at(1500ms, fault_kind::leave, "experts-0"),
                     at(3s, fault_kind::leave, "experts-1")};
  all.what.faults.back().must_happen = false; // the other may still leave
  auto out = simulate(30, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
  EXPECT_TRUE(out.reached.has(sometimes::node_came_later));
}

/// Whoever else dies, moves or leaves meanwhile, and the newcomer, too.
TEST_F(SimulatedGrowth, HoldsThroughFaults) {
  auto all = options();
  uint32_t num_come = 0, num_back = 0;
  for (uint64_t seed = 100; seed < 124; ++seed) {
    auto other = at(std::chrono::milliseconds{2 + seed % 5},
                    seed % 2 == 0 ? fault_kind::kill : fault_kind::leave,
                    all.company.cluster.nodes[1 + seed % 2].name);
    other.lasts = 400ms;
    auto again = at(700ms, fault_kind::kill, "experts-1");
    again.lasts = 300ms;
    auto moves = at(3ms, fault_kind::move_experts, "experts-0");
    all.what.faults = {join(std::chrono::milliseconds{seed % 11 * 40}), other,
                       again, moves};
    for (auto& x : all.what.faults)
      x.must_happen = false;
    auto out = simulate(seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    num_come += out.reached.has(sometimes::node_came_later);
    num_back += out.reached.has(sometimes::node_came_back);
  }
  EXPECT_GT(num_come, 16u);
  EXPECT_GT(num_back, 8u);
}

/// Heartbeats are missed after a second, and rows after five.
TEST_F(SimulatedGrowth, ADiskOfTenSecondsDelaysNeitherHeartbeatsNorRows) {
  auto all = options();
  auto usual = simulate(50, all);
  all.company.disk_time = 10s;
  auto calm = simulate(50, all);
  EXPECT_TRUE(calm.holds()) << words_of(calm);
  EXPECT_EQ(calm.requests.completed, 12u);
  EXPECT_FALSE(calm.reached.has(sometimes::wrong_suspicion));
  EXPECT_EQ(calm.length, usual.length) << "only the start takes longer";
  all.what.faults = {join(1ms), at(2ms, fault_kind::move_experts, "experts-0")};
  auto out = simulate(51, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u);
  EXPECT_FALSE(out.reached.has(sometimes::wrong_suspicion));
  EXPECT_TRUE(out.reached.has(sometimes::change_done));
  EXPECT_TRUE(out.reached.has(sometimes::node_came_later));
}
