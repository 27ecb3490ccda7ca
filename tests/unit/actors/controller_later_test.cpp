// Nodes without which the cluster starts, and that come then.

#include "tests/unit/actors/controller_fixture.hpp"

using namespace troupe;

namespace {

class ControllerLater : public Controller {
protected:
  ControllerLater() {
    cluster_.nodes[2].later = true;
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano",
      [this](node_id n) { monitored_.push_back(n); }, kept_);
    scheduler_.run();
  }

  void start() {
    for (node_id n : {0, 1})
      join(n);
    for (node_id n : {0, 1})
      load(n);
    read_model();
    for (node_id n : {0, 1})
      connect(n, 1);
  }
};

} // namespace

TEST_F(ControllerLater, StartsWithoutIt) {
  start();
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{1, 1, 0}));
  auto view = news_[1]->of<view_published>()[0].members;
  EXPECT_EQ(view->members[2].is, member_state::absent);
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  ASSERT_TRUE(kept_->last());
  EXPECT_EQ(kept_->last()->slots[2].is, member_state::absent);
}

TEST_F(ControllerLater, WhoComesThenIsWelcomedAsWhoComesBack) {
  start();
  join(2);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  EXPECT_TRUE(news_[2]->of<welcome>()[0].is_running);
  load(2);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{2, 2, 1}));
  for (node_id n = 0; n < 3; ++n)
    connect(n, 2);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{1, 1, 1}));
}

TEST_F(ControllerLater, WhoComesTooEarlyWaitsForTheStart) {
  join(2);
  start();
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{1, 1, 0}));
  ASSERT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  EXPECT_TRUE(news_[2]->of<welcome>()[0].is_running);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 0}));
}

/// As node 2, which is an open place.
TEST_F(ControllerLater, AnOpenPlaceHasTheNameOfWhoComes) {
  cluster_.nodes[2].open = true;
  auto places = std::make_shared<open_places>(cluster_);
  controller_ = spawn_controller(
    system_, context_, cluster_, "/models/nano",
    [this](node_id n) { monitored_.push_back(n); }, kept_, nullptr, places);
  scheduler_.run();
  start();
  auto come = [&](std::string name, uint64_t incarnation) {
    names_[2] = std::move(name);
    join(2, incarnation);
  };
  come("guest", 202);
  ASSERT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  EXPECT_NE(news_[2]->of<welcome>()[0].topology.find("guest"),
            std::string::npos);
  node_identity other{"other", 3, 0, {}, {0, 1}};
  EXPECT_FALSE(places->place_of(other)) << "it is taken";
  come("other", 302);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1})) << "one at a time";
  load(2, "hidden_size 64\n", 202);
  for (node_id n = 0; n < 3; ++n)
    connect(n, 2, n == 2 ? 202 : 0);
  ASSERT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(news_[1]->of<node_back>()[0].name, "guest");
  EXPECT_EQ(kept_->last()->slots[2].name, "guest");
  say(controller_, node_suspected{0, 2, 202, "it was killed", 100});
  EXPECT_EQ(*places->place_of(other), 2u);
  come("other", 402);
  ASSERT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 2}));
  come("attention-0", 502);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 2})) << "node 1 has it";
}

/// A second restart finds it as the first one did.
TEST_F(ControllerLater, WhoDoesNotComeAfterARestartKeepsItsPlace) {
  start();
  join(2);
  load(2);
  for (node_id n = 0; n < 3; ++n)
    connect(n, 2);
  ASSERT_EQ(kept_->last()->slots[2].incarnation, 102u);
  for (uint32_t last_view : {2, 3}) {
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano",
      [this](node_id n) { monitored_.push_back(n); }, kept_);
    start();
    EXPECT_EQ(kept_->last()->view, last_view + 1);
    EXPECT_EQ(kept_->last()->slots[2].incarnation, 102u);
  }
}

/// Others have never heard of it.
TEST_F(ControllerLater, AnOpenPlaceKeepsItsNameIfWhoComesIsRefused) {
  cluster_.nodes[2].open = true;
  auto places = std::make_shared<open_places>(cluster_);
  controller_ = spawn_controller(
    system_, context_, cluster_, "/models/nano",
    [this](node_id n) { monitored_.push_back(n); }, kept_, nullptr, places);
  scheduler_.run();
  start();
  auto come = [&](std::string name, uint64_t incarnation) {
    names_[2] = std::move(name);
    join(2, incarnation);
  };
  come("guest", 202);
  load(2, "hidden_size 65\n", 202);
  ASSERT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(news_[2]->of<node_lost>()[0].name, "guest");
  come("friend", 302);
  load(2, "hidden_size 64\n", 302);
  for (node_id n = 0; n < 3; ++n)
    connect(n, 2, n == 2 ? 302 : 0);
  ASSERT_EQ(kept_->last()->slots[2].name, "friend");
  say(controller_, node_suspected{0, 2, 302, "it was killed", 100});
  come("guest", 402);
  load(2, "hidden_size 65\n", 402);
  node_identity back{"friend", 502, 0, {}, {}};
  ASSERT_TRUE(places->place_of(back)) << "it says nothing but its name";
  come("friend", 502);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 4}));
}

TEST_F(ControllerLater, WhoComesTooEarlyAndDiesIsForgotten) {
  join(2);
  EXPECT_EQ(monitored_, (std::vector<node_id>{2})) << "also if it only hangs";
  suspect(2, "its connection has ended");
  start();
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 0}));
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  join(2, 202);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
}

/// The gateway has its reports.
TEST_F(ControllerLater, TheGatewayHearsOfAJoinerThatDies) {
  start();
  join(2);
  suspect(2, "its connection has ended");
  auto over = overs_->of<process_over>();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].node, 2u);
  EXPECT_EQ(over[0].incarnation, 102u);
}
