/// A placer alone: the test is the controller, workers and ranks.

#include "tests/unit/actors/actor_fixture.hpp"

#include <set>

using namespace troupe;

namespace {

using part = leaving_progress::part;

/// Two units, each with a rank on node 0, three experts and three workers on
/// nodes 1, 2 and 3: worker n of the first unit and n + 3 of the second.
class Placer : public actor_fixture {
protected:
  void begin(uint32_t num_spare, uint32_t num_spare_of_second) {
    auto parts = std::make_shared<node_parts>();
    auto& cluster = parts->cluster;
    cluster.nodes = {{"a", "127.0.0.1", true, true, false, {0, 1}, {}},
                     {"b", "127.0.0.1", false, false, false, {}, {0, 3}},
                     {"c", "127.0.0.1", false, false, false, {}, {1, 4}},
                     {"d", "127.0.0.1", false, false, false, {}, {2, 5}}};
    topology_unit first, second;
    first.name = "first";
    first.ranks = {0};
    first.workers = {0, 1, 2};
    second.name = "second";
    second.ranks = {1};
    second.workers = {3, 4, 5};
    cluster.units = {first, second};
    parts->units_of_ranks = cluster.units_of_ranks();
    parts->units_of_workers = cluster.units_of_workers();
    parts->maps = {map_of(0, num_spare), map_of(1, num_spare_of_second)};
    context_.here->update([&](cast_list& list) {
      list.parts = parts;
      list.controller = spawn_listener<controller>(told_);
      list.balancer = spawn_listener<balancer>(told_balancer_);
      for (node_id n = 1; n <= 3; ++n)
        list.peers[n] = spawn_listener<peer>(orders_);
    });
    placer_ = spawn_placer(system_, context_, parts);
    scheduler_.run();
  }

  static placement map_of(unit_id unit, uint32_t num_spare) {
    auto first = 3u * unit;
    return {1, 3, 6,         {1, 2, 3, 1, 2, 3},           unit,
            1, 0, num_spare, {first, first + 1, first + 2}};
  }

  /// Workers do what they are told to, or cannot; ranks take what comes.
  void work(const std::string& failure = "") {
    for (size_t i = num_done_; i < orders_->of<change_slots>().size(); ++i) {
      auto x = orders_->of<change_slots>()[i];
      num_done_ = i + 1;
      if (x.step == slots_step::serve)
        say(placer_, placement_taken{rank_id(x.worker / 3), x.epoch});
      else
        say(placer_, slots_changed{x.change, x.worker, x.step, failure});
    }
  }

  /// Workers that are to load something.
  std::vector<worker_id> loading() const {
    std::vector<worker_id> out;
    auto all = orders_->of<change_slots>();
    for (size_t i = num_done_; i < all.size(); ++i)
      if (all[i].step == slots_step::load)
        out.push_back(all[i].worker);
    return out;
  }

  void leave(bool stays = false) {
    say(placer_, node_leaving{2, "c", stays});
  }

  /// Asks for another replica of expert 0, at the node that may leave.
  void ask(unit_id unit) {
    auto next = map_of(unit, 1).lists();
    ++next.epoch;
    next.replicas.push_back({0, 0, {{worker_id(3 * unit + 1), 1}, 1}});
    using callback = std::function<void(const result<uint32_t>&)>;
    say(placer_,
        change_placement{std::make_shared<const placement_lists>(next),
                         std::make_shared<const callback>([this](auto& x) {
                           answers_.push_back(x ? "" : x.why().message);
                         })});
  }

  leaving_progress progress() const {
    return told_->of<leaving_progress>().back();
  }

  std::string refusal() const {
    auto x = progress();
    return x.why ? std::string{to_string(x.why->code)} + ": " + x.why->message
                 : "";
  }

  std::shared_ptr<heard<leaving_progress, placement_published>> told_
    = std::make_shared<heard<leaving_progress, placement_published>>();
  std::shared_ptr<heard<node_leaving>> told_balancer_
    = std::make_shared<heard<node_leaving>>();
  std::shared_ptr<heard<change_slots>> orders_
    = std::make_shared<heard<change_slots>>();
  size_t num_done_ = 0; ///< Of the orders.
  std::vector<std::string> answers_;
  placer placer_;
};

using workers = std::vector<worker_id>;

} // namespace

TEST_F(Placer, GivesAwayWhatALeavingNodeHasInAllUnits) {
  begin(1, 1);
  leave();
  EXPECT_EQ(loading(), (workers{0, 3}));
  EXPECT_EQ(progress().left, 2u);
  EXPECT_FALSE(progress().is_done);
  work();
  EXPECT_EQ(progress().done, 2u);
  EXPECT_TRUE(progress().is_done);
  ASSERT_EQ(told_balancer_->of<node_leaving>().size(), 1u);
  EXPECT_EQ(told_balancer_->of<node_leaving>()[0].node, 2);
  leave(true);
  EXPECT_TRUE(told_balancer_->of<node_leaving>().back().stays);
}

TEST_F(Placer, BeginsInNoUnitWhereOneHasNoRoom) {
  begin(1, 0);
  leave();
  EXPECT_NE(refusal().find("refused: other workers have no room"),
            std::string::npos)
    << refusal();
  EXPECT_TRUE(orders_->of<change_slots>().empty());
  ask(0);
  EXPECT_EQ(loading(), workers{1}) << "nobody is about to leave";
}

/// However soon somebody asks for the next one.
TEST_F(Placer, WhoIsToLeaveComesBeforeFurtherChanges) {
  begin(1, 1);
  ask(0);
  leave();
  EXPECT_EQ(refusal(), "overloaded: another change of the placement is under "
                       "way");
  ask(1);
  EXPECT_EQ(answers_, std::vector<std::string>{"a node is about to leave"});
  EXPECT_EQ(loading(), workers{1});
  work();
  EXPECT_EQ(answers_.back(), "");
  EXPECT_TRUE(progress().is_done) << "and nobody has asked again";
  for (auto& x : orders_->of<change_slots>())
    EXPECT_TRUE(x.step != slots_step::load || x.worker != 4);
}

TEST_F(Placer, TriesAgainWhenItIsToldTo) {
  begin(1, 1);
  leave();
  work("no file");
  EXPECT_EQ(refusal().substr(0, 11), "step_failed");
  EXPECT_EQ(loading(), workers{}) << "the controller asks again";
  ask(0);
  EXPECT_EQ(answers_.back(), "a node is about to leave");
  leave();
  EXPECT_EQ(loading(), (workers{0, 3}));
  work();
  EXPECT_TRUE(progress().is_done);
}

TEST_F(Placer, WhoIsLeavingStaysWhereItsRoomIsNeeded) {
  begin(1, 1);
  leave();
  work();
  say(placer_, node_lost{3, 103, "d", "it was killed"});
  EXPECT_EQ(loading(), workers{});
  std::set<std::string> said;
  for (auto& x : told_->of<leaving_progress>())
    if (x.why && x.why->code == errc::refused)
      said.insert(x.why->message);
  EXPECT_EQ(said, std::set<std::string>{"its slots are needed for 1 experts of "
                                        "a node that was lost"});
  leave(true);
  EXPECT_EQ(loading(), (workers{1, 4})) << "there is room again";
}

TEST_F(Placer, SaysOfWhichLossesItHasHeard) {
  begin(2, 2);
  leave();
  work();
  EXPECT_TRUE(progress().lost.empty());
  say(placer_, node_lost{3, 103, "d", "it was killed"});
  EXPECT_TRUE(progress().is_done) << "others have what was lost";
  EXPECT_EQ(progress().lost, (lost_processes{{3, 103}}));
  say(placer_, node_lost{3, 203, "d", "it was killed, too"});
  EXPECT_EQ(progress().lost, (lost_processes{{3, 103}})) << "it had not served";
}
