/// Companies in a virtual world whose experts move, at times that the seed
/// draws, while nodes die and links break.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedMoves : public SimulatedCompany {
protected:
  /// Two ranks and four workers on three nodes and a front, with a small real
  /// model.
  simulation_options options(uint32_t num_redundant, uint32_t num_spare) {
    load_spec spec;
    spec.requests = 12;
    spec.least_prompt = 3;
    spec.most_prompt = 24;
    spec.most_output = 12;
    spec.least_output = 4;
    return options_of(with_slots(num_redundant, num_spare), spec);
  }

  /// Of which each may leave: there is room for all experts on either.
  simulation_options with_ranks_on_two_nodes() {
    auto out = options(0, model_->config().n_routed_experts);
    auto& nodes = out.company.cluster.nodes;
    nodes[1].ranks = {0};
    nodes[2].ranks = {1};
    return out;
  }

  simulation_options two_units(uint32_t num_spare) {
    auto out = options(0, num_spare);
    make_two_units(out.company.cluster);
    return out;
  }

  /// Experts move and nodes die in each of some seeds, from `seed` on.
  static void hold_through_faults(simulation_batch_options options,
                                  uint64_t& seed, sometimes_tally& tally) {
    auto& faults = options.base.what.faults;
    for (auto i = 0; i < 4; ++i) {
      faults.push_back(
        at(i * 4ms, fault_kind::move_experts, std::string{any_name}));
      faults.back().must_happen = false;
    }
    faults.push_back(at(5ms, fault_kind::kill, std::string{any_name}));
    faults.back().must_happen = false;
    faults.back().p = 0.5;
    simulation_batch batch{std::move(options)};
    for (int i = 0; i < 12; ++i, ++seed) {
      auto out = batch.run(seed, batch.case_of(seed));
      EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
      tally.add(out.reached);
    }
  }
};

TEST_F(SimulatedMoves, ChangeNoToken) {
  auto all = options(0, 2);
  auto last = all.company.cluster.nodes[3].name;
  auto other = all.company.cluster.nodes[2].name;
  for (auto i = 0; i < 4; ++i) {
    all.what.faults.push_back(at(i * 3ms, fault_kind::move_experts, last));
    all.what.faults.push_back(
      at(i * 3ms + 1500us, fault_kind::move_experts, other));
  }
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u);
  EXPECT_TRUE(out.reached.has(sometimes::change_done));
}

TEST_F(SimulatedMoves, BringBackWhatALostNodeHad) {
  auto experts = model_->config().n_routed_experts;
  auto all = options(0, experts);
  auto last = all.company.cluster.nodes[3].name;
  all.what.faults = {at(2ms, fault_kind::kill, last)};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  // New ones are refused meanwhile, and none that was accepted fails.
  EXPECT_EQ(out.requests.completed + out.requests.refused, 12u);
  EXPECT_GT(out.requests.completed, 0u);
  EXPECT_EQ(out.requests.failed, 0u) << words_of(out);
  EXPECT_TRUE(out.reached.has(sometimes::expert_waited));
  EXPECT_TRUE(out.reached.has(sometimes::change_done));
}

/// What it had is being loaded elsewhere, or has been, when it comes back.
TEST_F(SimulatedMoves, WhoComesBackTakesPartInTheNewestPlacement) {
  auto experts = model_->config().n_routed_experts;
  auto all = options(0, experts);
  auto last = all.company.cluster.nodes[3].name;
  uint64_t seed = 100;
  uint32_t num_aborted = 0, num_done = 0;
  for (auto away : {1ms, 30ms, 100ms, 300ms, 700ms})
    for (auto again : {5ms, 900ms}) {
      auto first = at(2ms, fault_kind::kill, last);
      first.lasts = away;
      auto second = at(2ms + away + again, fault_kind::kill, last);
      second.lasts = 400ms;
      second.must_happen = false;
      auto moves = at(2ms + away + 2 * again, fault_kind::move_experts, last);
      moves.must_happen = false;
      all.what.faults = {first, second, moves};
      auto out = simulate(++seed, all);
      SCOPED_TRACE("seed " + std::to_string(seed));
      EXPECT_TRUE(out.holds()) << words_of(out);
      EXPECT_TRUE(out.reached.has(sometimes::node_came_back));
      EXPECT_EQ(out.requests.failed, 0u) << words_of(out);
      num_aborted += out.reached.has(sometimes::change_aborted);
      num_done += out.reached.has(sometimes::change_done);
    }
  EXPECT_GT(num_aborted, 0u);
  EXPECT_GT(num_done, 0u);
}

/// Ranks and workers, one after the other and while others move: nobody loses
/// anything by it, and nobody is lost.
TEST_F(SimulatedMoves, NodesThatLeaveInPeaceCostNothing) {
  auto all = with_ranks_on_two_nodes();
  auto& nodes = all.company.cluster.nodes;
  uint32_t num_back = 0;
  for (uint64_t seed = 300; seed < 312; ++seed) {
    auto leaving = seed % 3 + 1; // not the first one
    auto first = at(std::chrono::milliseconds{1 + seed % 7}, fault_kind::leave,
                    nodes[leaving].name);
    first.lasts = 900ms; // a few looks of who lets it go
    auto second = at(1200ms, fault_kind::leave, nodes[leaving % 3 + 1].name);
    auto moves = at(2ms, fault_kind::move_experts, nodes[3].name);
    moves.must_happen = false;
    all.what.faults = {first, second, moves};
    auto out = simulate(seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    num_back += out.reached.has(sometimes::node_came_back);
  }
  EXPECT_EQ(num_back, 12u);
}

/// At any moment between that it is to leave and its end.
TEST_F(SimulatedMoves, LeavingMayBeTakenBack) {
  auto all = with_ranks_on_two_nodes();
  auto& nodes = all.company.cluster.nodes;
  uint32_t num_left = 0;
  uint64_t seed = 340;
  for (auto then : {0us, 50us, 400us, 2000us, 20000us, 120000us, 600000us}) {
    auto leaves = at(2ms, fault_kind::leave, nodes[seed % 3 + 1].name);
    leaves.lasts = 900ms;
    leaves.must_happen = false;
    auto stays = at(2ms + then, fault_kind::stay, nodes[seed % 3 + 1].name);
    stays.must_happen = false; // it may have gone by then
    all.what.faults = {leaves, stays};
    auto out = simulate(++seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    num_left += out.reached.has(sometimes::node_came_back);
  }
  EXPECT_GT(num_left, 0u);
  EXPECT_LT(num_left, 7u);
}

/// Whoever else dies or moves meanwhile.
TEST_F(SimulatedMoves, LeavingHoldsThroughLosses) {
  auto all = with_ranks_on_two_nodes();
  auto& nodes = all.company.cluster.nodes;
  uint32_t num_left = 0, num_others_lost = 0;
  for (uint64_t seed = 400; seed < 416; ++seed) {
    auto leaves = at(2ms, fault_kind::leave, nodes[seed % 3 + 1].name);
    leaves.lasts = 300ms;
    leaves.must_happen = false; // it may be the one that dies
    auto dies = at(std::chrono::microseconds{2000 + (seed % 8) * 700},
                   fault_kind::kill, nodes[seed / 3 % 3 + 1].name);
    dies.lasts = 200ms;
    dies.must_happen = false;
    all.what.faults = {leaves, dies};
    auto out = simulate(seed, all);
    EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
    EXPECT_EQ(out.requests.failed, 0u) << "seed " << seed;
    num_left += out.faults[0].outcome == fault_outcome::happened;
    num_others_lost += leaves.node != dies.node;
  }
  EXPECT_GE(num_left, num_others_lost * 3 / 4);
}

/// Its room is needed, since the only others with experts die for good.
TEST_F(SimulatedMoves, WhoIsNeededAfterALossStays) {
  auto all = with_ranks_on_two_nodes();
  auto& nodes = all.company.cluster.nodes;
  uint32_t num_stayed = 0;
  for (uint64_t seed = 500; seed < 512; ++seed) {
    auto leaves = at(2ms, fault_kind::leave, nodes[2].name);
    leaves.must_happen = false;
    auto dies = at(std::chrono::microseconds{2000 + (seed % 12) * 500},
                   fault_kind::kill, nodes[3].name);
    all.what.faults = {leaves, dies};
    auto out = simulate(seed, all);
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(out.holds()) << words_of(out);
    auto has_left = out.faults[0].outcome == fault_outcome::happened;
    num_stayed += !has_left;
    EXPECT_TRUE(has_left || out.requests.failed == 0) << words_of(out);
  }
  EXPECT_GT(num_stayed, 6u);
}

/// It was to load something, and others have all that it had.
TEST_F(SimulatedMoves, EndInTheOldPlacementIfWhoLoadsIsLost) {
  auto experts = model_->config().n_routed_experts;
  auto all = options(experts, 2);
  auto last = all.company.cluster.nodes[3].name;
  all.what.faults = {at(2ms, fault_kind::move_experts, last),
                     at(3ms, fault_kind::kill, last)};
  uint32_t num_aborted = 0; // the moves are the seed's, and may be none
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    auto out = simulate(seed, all);
    EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    num_aborted += out.reached.has(sometimes::change_aborted);
  }
  EXPECT_GT(num_aborted, 0u);
}

TEST_F(SimulatedMoves, HoldThroughFaultsOfAllKinds) {
  sometimes_tally tally;
  auto experts = model_->config().n_routed_experts;
  struct spread {
    uint32_t redundant;
    uint32_t spare;
    uint32_t lanes;
  };
  uint64_t seed = 1;
  for (auto x : {spread{0, 1, 1}, spread{0, experts, 2}, spread{experts, 2, 1},
                 spread{experts / 2, 3, 3}}) {
    simulation_batch_options options;
    options.base = this->options(x.redundant, x.spare);
    options.base.company.cluster.limits.micro_batches = x.lanes;
    if (x.lanes == 3)
      options.base.company.cluster.limits.max_num_seqs = 2;
    options.make_compute = cpu;
    options.random_faults = true;
    hold_through_faults(options, seed, tally);
  }
  for (auto x : {sometimes::change_done, sometimes::change_aborted,
                 sometimes::rows_of_two_epochs, sometimes::expert_waited})
    EXPECT_GT(tally.count(x), 0u) << to_string(x);
}

/// Each plans with its own placement, whatever becomes of the other's.
TEST_F(SimulatedMoves, OfOneUnitAreNoneOfTheOthers) {
  auto all = two_units(2);
  auto last = all.company.cluster.nodes[3].name;
  auto other = all.company.cluster.nodes[2].name;
  for (auto i = 0; i < 4; ++i) {
    all.what.faults.push_back(at(i * 3ms, fault_kind::move_experts, last));
    all.what.faults.push_back(
      at(i * 3ms + 1500us, fault_kind::move_experts, other));
  }
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u);
  EXPECT_TRUE(out.reached.has(sometimes::change_done));
}

/// Without room for its experts a unit is out; what its rank had goes on at
/// the other's.
TEST_F(SimulatedMoves, AUnitThatMissesExpertsLosesNoRequest) {
  auto all = two_units(0);
  auto last = all.company.cluster.nodes[3].name;
  for (auto when : {1ms, 3ms, 9ms}) {
    all.what.faults = {at(when, fault_kind::kill, last)};
    auto out = simulate(uint64_t(when.count()), all);
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << words_of(out);
    EXPECT_EQ(out.requests.failed + out.requests.refused, 0u);
  }
}

TEST_F(SimulatedMoves, OfTwoUnitsHoldThroughFaultsOfAllKinds) {
  auto experts = model_->config().n_routed_experts;
  sometimes_tally tally;
  uint64_t seed = 1;
  for (auto num_spare : {0u, 2u, experts}) {
    simulation_batch_options all;
    all.base = two_units(num_spare);
    all.make_compute = cpu;
    all.random_faults = true;
    hold_through_faults(all, seed, tally);
  }
  for (auto x : {sometimes::change_done, sometimes::request_moved})
    EXPECT_GT(tally.count(x), 0u) << to_string(x);
}

} // namespace
