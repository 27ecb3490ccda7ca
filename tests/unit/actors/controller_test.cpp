#include "tests/unit/actors/controller_fixture.hpp"

using namespace troupe;

TEST_F(Controller, WelcomesWhoJoinsAndWatchesTheOthers) {
  join_all();
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  auto hello = news_[2]->of<welcome>()[0];
  EXPECT_EQ(hello.node, 2);
  EXPECT_EQ(hello.model_dir, "/models/nano");
  auto told = parse_topology(hello.topology, "the welcome");
  ASSERT_TRUE(told) << told.why().message;
  EXPECT_EQ(told->nodes, cluster_.nodes);
  EXPECT_EQ(monitored_, (std::vector<node_id>{1, 2}));
}

TEST_F(Controller, PublishesTheViewOnceAllHaveLoadedAndItsModelIsRead) {
  join_all();
  load(1);
  load(0);
  read_model();
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{0, 0, 0}));
  load(2);
  load(2);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  auto view = news_[1]->of<view_published>()[0].members;
  ASSERT_EQ(view->members.size(), 3u);
  EXPECT_EQ(view->members[2].name, names_[2]);
  EXPECT_EQ(view->members[2].incarnation, 102u);
}

TEST_F(Controller, StartsOnceAllAreConnected) {
  join_all();
  load_all();
  connect(2, 1);
  connect(2, 1);
  connect(0, 1);
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{0, 0, 0}));
  connect(1, 1, 99); // a predecessor
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{0, 0, 0}));
  connect(1, 1);
  connect(1, 1);
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{1, 1, 1}));
}

TEST_F(Controller, TellsEverybodyOfALossOnceAndTheLostOneToo) {
  join_all();
  load_all();
  connect_all();
  suspect(1, "no heartbeat for 2 s");
  suspect(1, "the connection broke");
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  auto loss = news_[0]->of<node_lost>()[0];
  EXPECT_EQ(loss.node, 1);
  EXPECT_EQ(loss.incarnation, 101u);
  EXPECT_EQ(loss.name, names_[1]);
  EXPECT_EQ(loss.why, "no heartbeat for 2 s");
  suspect(2, "gone, too");
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{2, 1, 2}))
    << "nothing more is said to the one that is lost";
}

TEST_F(Controller, RefusesWhoseNumericsAreNotItsOwn) {
  join_all();
  load(1, "hidden_size 65\n"); // the first to load is not the measure
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  load(0);
  load(2);
  read_model();
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(news_[1]->of<node_lost>()[0].node, 1);
  EXPECT_EQ(news_[1]->of<node_lost>()[0].incarnation, 101u);
  EXPECT_EQ(news_[1]->of<node_lost>()[0].why,
            "its hidden_size is 65, the controller's is 64: its tokens would "
            "differ");
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{0, 0, 0}));
}

TEST_F(Controller, RefusesAtOnceWhatItsSettingsSay) {
  join_all();
  say(controller_, node_loaded{0, {"hidden_size 64\n", "", {}, false}, 100});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  say(controller_, node_loaded{2, {"hidden_size 63\n", "", {}, false}, 102});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}))
    << "before anybody has loaded";
  say(controller_, node_loaded{2, {"", "", {}, true}, 102});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
}

TEST_F(Controller, HearsNothingOfNodesThatHaveNotJoined) {
  load(1, "hidden_size 65\n");
  load(7);
  join_all();
  load_all();
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
}

TEST_F(Controller, TurnsAwayWhoIsThereTwiceOrComesBackBeforeTheStart) {
  join_all();
  join(2, 202);
  suspect(1, "it was restarted");
  join(1, 201);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(monitored_.size(), 2u);
  ASSERT_EQ(net_.given_up,
            (std::vector<std::pair<node_id, uint64_t>>{{2, 202}, {1, 201}}));
  EXPECT_EQ(net_.reasons[0], "there is a node named " + names_[2] + " already");
  EXPECT_EQ(net_.reasons[1], sentence_for_successor(names_[1]));
}

TEST_F(Controller, BelievesNothingOfAPredecessorOrASuccessor) {
  join_all();
  load_all();
  connect_all();
  for (uint64_t other : {0, 100, 102})
    say(controller_, node_suspected{0, 1, other, "it was silent", 100});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  suspect(1, "it was silent");
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
}

TEST_F(Controller, DoesNotListenToWhoIsLostNorBelieveThatItIsLostItself) {
  join_all();
  load_all();
  connect_all();
  suspect(0, "it stood still", 2);
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  suspect(2, "it stood still", 1);
  suspect(1, "it gave me up", 2);
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
}

TEST_F(Controller, IgnoresEvidenceAgainstNodesThatDoNotExist) {
  join_all();
  suspect(3, "who?");
  suspect(65535, "who?");
  suspect(1, "says who?", 65535);
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
}

TEST_F(Controller, TakesASuccessorInWithoutDisturbingTheOthers) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  ASSERT_EQ(news_[1]->of<welcome>().size(), 2u);
  EXPECT_TRUE(news_[1]->of<welcome>()[1].is_running);
  EXPECT_FALSE(news_[1]->of<welcome>()[0].is_running);
  EXPECT_EQ(monitored_, (std::vector<node_id>{1, 2, 1}));
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  load(1, "hidden_size 64\n", 201);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{2, 2, 2}));
  auto view = news_[2]->of<view_published>()[1].members;
  EXPECT_EQ(view->number, 2u);
  EXPECT_EQ(view->members[1].incarnation, 201u);
  EXPECT_EQ(view->members[1].is, member_state::joining);
  EXPECT_EQ(view->members[2].is, member_state::serving);
  connect(0, 2);
  connect(1, 2, 201);
  connect(2, 1); // of the view before
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{0, 0, 0}));
  connect(2, 2);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(news_[2]->of<node_back>()[0].incarnation, 201u);
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{1, 2, 1}));
}

TEST_F(Controller, JudgesASuccessorAnew) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  load(1, "hidden_size 65\n", 201);
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{2, 2, 2}));
  EXPECT_EQ(news_[1]->of<node_lost>().back().incarnation, 201u);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  join(1, 301);
  load(1, "hidden_size 64\n", 201); // late, of the one before
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  load(1, "hidden_size 64\n", 301);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{2, 2, 2}));
}

TEST_F(Controller, WaitsForNobodyWhoIsLostWhileAnotherComesBack) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  load(1, "hidden_size 64\n", 201);
  connect(0, 2);
  connect(1, 2, 201);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{0, 0, 0}));
  suspect(2, "it was killed, too");
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 0}));
}

TEST_F(Controller, KeepsEachViewBeforeAnybodyHearsOfIt) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  ASSERT_TRUE(kept_->last());
  EXPECT_EQ(kept_->last()->view, 1u);
  EXPECT_EQ(kept_->last()->slots.at(2).incarnation, 102u);
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 1u);
  suspect(1, "it was killed");
  join(1, 201);
  load(1, "hidden_size 64\n", 201);
  EXPECT_EQ(kept_->last()->view, 2u);
  EXPECT_EQ(kept_->last()->slots.at(1).incarnation, 201u);
  EXPECT_EQ(kept_->last()->slots.at(1).is, member_state::joining);
}

TEST_F(Controller, LetsNobodyInWithAViewThatCannotBeKept) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  kept_->is_full = true;
  load(1, "hidden_size 64\n", 201);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(news_[1]->of<node_lost>().back().why,
            "the view that has it cannot be kept: the disk is full");
  kept_->is_full = false;
  join(1, 301);
  load(1, "hidden_size 64\n", 301);
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{2, 2, 2}));
  EXPECT_EQ(news_[0]->of<view_published>()[1].members->number, 3u);
}

TEST_F(Controller, AViewThatCannotBeKeptIsTheLossOfNobodyElse) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  load(1, "hidden_size 64\n", 201); // in view 2, not connected to all of it
  suspect(2, "it was killed, too");
  join(2, 202);
  kept_->is_full = true;
  load(2, "hidden_size 64\n", 202);
  EXPECT_EQ(news_[2]->of<node_lost>().back().incarnation, 202u);
  for (auto& x : news_[0]->of<node_lost>())
    EXPECT_NE(x.incarnation, 201u) << x.why;
  connect(0, 2);
  connect(1, 2, 201);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 0}));
}

TEST_F(Controller, WhoIsBackHearsTheNewestPlacementFirst) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  suspect(1, "it was killed");
  join(1, 201);
  load(1, "hidden_size 64\n", 201);
  placement_lists newest{0, 7, {}};
  context_.here->update([&](cast_list& list) {
    list.placed[0] = std::make_shared<const placement_lists>(newest);
  });
  for (node_id n : {0, 2})
    connect(n, 2);
  auto before = how_many<cluster_started>();
  EXPECT_EQ(how_many<placement_published>(), (counts_by_node{0, 0, 0}));
  connect(1, 2, 201);
  EXPECT_EQ(how_many<placement_published>(), (counts_by_node{0, 1, 0}));
  EXPECT_EQ(*news_[1]->of<placement_published>()[0].map, newest);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(how_many<cluster_started>()[1], before[1] + 1);
}
