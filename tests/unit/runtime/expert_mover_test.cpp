#include "runtime/cluster/expert_mover.hpp"

#include "runtime/checkpoint/config.hpp"
#include "runtime/topology.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using counts = std::vector<uint64_t>;

clock::instant never() {
  return {};
}

/// One layer, eight experts, four workers on nodes 1 to 4; two of the first
/// worker's are asked most.
class ExpertMover : public testing::Test {
protected:
  void begin(uint32_t num_spare = 1) {
    map_ = {1, 8, 4, {1, 2, 3, 4}, 0, 1, 0, num_spare};
    mover_ = std::make_unique<expert_mover>(
      settings_, expert_mover::terms{{3}, 8, bytes_, 1}, now_);
  }

  void rows_come() {
    for (size_t e = 0; e < 8; ++e)
      counted_[e] += e < 2 ? 8'000 : 1'000;
    mover_->hear(0, 7, counted_, now_);
  }

  void pass(clock::instant::duration x) {
    now_ += x;
  }

  auto tick() {
    return mover_->tick(map_, now_);
  }

  /// A plan is due and made.
  void plan() {
    auto matter = tick();
    ASSERT_TRUE(matter);
    mover_->planned(mover_->round(),
                    balance::plan_experts(*matter, nullptr, never), map_, now_);
  }

  /// As the placer does.
  void follow(const placement_lists& next) {
    auto then = map_.with(next);
    ASSERT_TRUE(then) << then.why().message;
    map_ = std::move(*then);
    mover_->changed(mover_->round(), map_.epoch(), map_, now_);
  }

  balance_settings settings_;
  double bytes_ = 1;
  placement map_;
  std::unique_ptr<expert_mover> mover_;
  clock::instant now_{1h};
  counts counted_ = counts(8);
};

TEST_F(ExpertMover, PlansWhenAnIntervalIsOverAndChangesUntilAllIsReached) {
  begin();
  rows_come();
  pass(9s);
  EXPECT_FALSE(tick());
  pass(1s);
  plan();
  EXPECT_FALSE(tick()) << "it is at work";
  uint32_t num_changes = 0;
  while (auto next = mover_->take_change()) {
    EXPECT_FALSE(mover_->take_change()) << "once";
    ASSERT_LT(++num_changes, 20u);
    follow(*next);
  }
  EXPECT_GT(num_changes, 0u);
  auto& x = mover_->status();
  EXPECT_EQ(x.plans, 1u);
  EXPECT_EQ(x.changes, num_changes);
  EXPECT_EQ(x.changes_refused, 0u);
  EXPECT_EQ(x.moves, x.recent.size());
  EXPECT_EQ(x.moves, mover_->take_moves().size());
  EXPECT_EQ(x.recent[0].layer, 3u);
  EXPECT_EQ(x.recent[0].epoch, 2u);
  EXPECT_GT(x.planned, x.balance);
  EXPECT_GT(x.gain, 0.1);
  pass(9s);
  EXPECT_FALSE(tick());
  pass(1s);
  plan();
  EXPECT_FALSE(mover_->take_change()) << "all is well by now";
}

TEST_F(ExpertMover, WhoIsRefusedPlansAnewFromThePresentState) {
  begin();
  rows_come();
  pass(10s);
  plan();
  ASSERT_TRUE(mover_->take_change());
  auto round = mover_->round();
  mover_->changed(round, failure{errc::overloaded, "another one"}, map_, now_);
  EXPECT_EQ(mover_->status().changes_refused, 1u);
  EXPECT_EQ(mover_->status().moves, 0u);
  EXPECT_FALSE(mover_->take_change());
  mover_->changed(round, 2u, map_, now_);
  EXPECT_EQ(mover_->status().changes, 0u) << "it was answered";
  pass(10s);
  rows_come();
  plan();
  EXPECT_TRUE(mover_->take_change());
}

/// Who is lost may have had the slots; the change that is under way ends.
TEST_F(ExpertMover, ALossOrAReturnEndsThePlanAndGivesRepairsTime) {
  begin();
  rows_come();
  pass(10s);
  ASSERT_TRUE(tick());
  auto round = mover_->round();
  mover_->lost(4, now_);
  mover_->planned(round, {}, map_, now_);
  EXPECT_EQ(mover_->status().plans, 0u) << "that plan is late";
  pass(9s);
  EXPECT_FALSE(tick());
  mover_->back(4, now_);
  pass(9s);
  EXPECT_FALSE(tick());
  pass(1s);
  rows_come();
  plan();
  auto next = mover_->take_change();
  ASSERT_TRUE(next);
  mover_->lost(4, now_);
  follow(*next);
  EXPECT_EQ(mover_->status().changes, 1u);
  EXPECT_FALSE(mover_->take_change());
}

/// Its workers have nothing any more, and room.
TEST_F(ExpertMover, WhoIsLeavingGetsNothingUnlessItStays) {
  begin(4);
  auto without = map_.lists();
  ++without.epoch;
  for (auto& x : without.replicas)
    if (x.replica.at.worker == 1)
      x.replica.at = {2, uint16_t(x.replica.at.slot + 2)};
  map_ = *map_.with(without);
  mover_->leaves(2, now_);
  auto round = mover_->round();
  mover_->leaves(2, now_ + 1s);
  EXPECT_EQ(mover_->round(), round) << "that was known";
  rows_come();
  pass(10s);
  plan();
  while (auto next = mover_->take_change()) {
    for (auto& x : next->replicas)
      EXPECT_NE(x.replica.at.worker, 1);
    follow(*next);
  }
  EXPECT_GT(mover_->status().changes, 0u);
  mover_->stays(2, now_);
  rows_come();
  pass(10s);
  auto matter = tick();
  ASSERT_TRUE(matter);
  EXPECT_TRUE(matter->absent.empty());
}

TEST_F(ExpertMover, WhoIsLostWhileItLeavesDoesNotStay) {
  begin();
  mover_->leaves(2, now_);
  mover_->lost(2, now_);
  mover_->stays(2, now_);
  rows_come();
  pass(10s);
  auto matter = tick();
  ASSERT_TRUE(matter);
  EXPECT_EQ(matter->absent, (std::set<node_id>{2}));
}

TEST_F(ExpertMover, NobodyMovesWhileAnExpertIsWaiting) {
  begin();
  rows_come();
  auto whole = map_;
  map_ = map_.left_by({4});
  pass(10s);
  EXPECT_FALSE(tick());
  map_ = whole;
  EXPECT_TRUE(tick());
}

TEST_F(ExpertMover, WhatNobodyAnswersIsGivenUpAfterAWhile) {
  begin();
  rows_come();
  pass(10s);
  ASSERT_TRUE(tick());
  pass(16min);
  EXPECT_FALSE(tick());
  pass(10s);
  EXPECT_TRUE(tick());
}

TEST_F(ExpertMover, LoadsOfAFileAreActedOnAtOnceWhateverItCosts) {
  bytes_ = 1e12;
  settings_.first_loads.emplace(
    balance::load_table{8, {3}, {{8'000, 8'000, 1, 1, 1, 1, 1, 1}}});
  begin();
  plan();
  EXPECT_TRUE(mover_->take_change());
}

TEST_F(ExpertMover, WhereFewRowsComeNoCopyPays) {
  bytes_ = 1e5; // about 500 rows a second come to each worker
  begin();
  rows_come();
  pass(10s);
  plan();
  EXPECT_FALSE(mover_->take_change());
  settings_.payback = 1h;
  begin();
  rows_come();
  pass(10s);
  plan();
  EXPECT_TRUE(mover_->take_change());
}

} // namespace

TEST(BalanceStatus, UnitsAddUp) {
  balance_status one, other, silent;
  one.plans = 2;
  one.changes = 1;
  one.moves = 3;
  one.balance = 0.5;
  one.planned = 0.75;
  one.gain = 0.25;
  one.recent = {{0, 2, 3, 4, 1, 2, "why", 0.5}};
  other.plans = 1;
  other.changes_refused = 1;
  other.balance = 0.75;
  other.planned = 0.75;
  other.recent = {{1, 5, 3, 4, 3, 4, "why", 0.5}};
  auto all = merged({one, other, silent});
  EXPECT_EQ(all.plans, 3u);
  EXPECT_EQ(all.changes, 1u);
  EXPECT_EQ(all.changes_refused, 1u);
  EXPECT_EQ(all.moves, 3u);
  EXPECT_EQ(all.balance, 0.625);
  EXPECT_EQ(all.planned, 0.75);
  EXPECT_EQ(all.gain, 0.125);
  ASSERT_EQ(all.recent.size(), 2u);
  EXPECT_EQ(all.recent[1].unit, 1u);
  EXPECT_EQ(merged({}).balance, 1);
}

TEST(BalanceSettings, FitTheCompanyOrAreRefused) {
  model_config config;
  config.num_hidden_layers = 5;
  config.first_k_dense_replace = 3;
  config.n_routed_experts = 2;
  auto cluster = local(1, 1, 1);
  cluster.units = cluster.all_units();
  auto why = [&](const balance_settings& x) {
    auto ok = check_balance(x, cluster, config);
    return ok ? "" : ok.why().message;
  };
  balance_settings x;
  EXPECT_NE(why(x).find("--spare-expert-slots"), std::string::npos);
  cluster.units[0].spare_expert_slots = 1;
  EXPECT_EQ(why(x), "");
  x.most_copies = 1;
  EXPECT_NE(why(x).find("at least 2 at a time"), std::string::npos);
  x.most_copies = 2;
  x.first_loads.emplace(balance::load_table{2, {3, 4}, {{1, 1}, {1, 1}}});
  EXPECT_EQ(why(x), "");
  x.first_loads->layers = {2, 3};
  EXPECT_NE(why(x).find("layers with experts, 3 to 4"), std::string::npos);
  x.first_loads->num_experts = 3;
  EXPECT_NE(why(x).find("of 3 experts"), std::string::npos);
}

/// Who comes later is not lost: what is known of loads is not waited for.
TEST_F(ExpertMover, BeginsAtOnceWithFirstLoadsAlsoIfSomebodyMayComeLater) {
  settings_.first_loads = balance::load_table{
    8, {3}, {{8'000, 8'000, 1'000, 1'000, 1'000, 1'000, 1'000, 1'000}}};
  map_ = {1, 8, 4, {1, 2, 3, 4}, 0, 1, 8, 1, {}, {4}};
  map_ = map_.left_by({4});
  expert_mover mover{settings_, {{3}, 8, bytes_, 1}, now_, {4}};
  auto matter = mover.tick(map_, now_);
  ASSERT_TRUE(matter);
  EXPECT_EQ(matter->absent, (std::set<node_id>{4}));
}

TEST_F(ExpertMover, ReplicasOfWhoIsNotThereAreNone) {
  placement map{1, 8, 4, {1, 2, 3, 4}, 0, 1, 8, 1, {}, {3, 4}};
  EXPECT_EQ(least_replicas(map, {}), 2u);
  EXPECT_EQ(least_replicas(map, {3, 4}), 1u);
}
