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

TEST_F(ControllerLater, WhoComesTooEarlyAndDiesIsForgotten) {
  join(2);
  suspect(2, "its connection has ended");
  start();
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 0}));
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  join(2, 202);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
}
