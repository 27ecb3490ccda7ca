#include "tests/unit/actors/actor_fixture.hpp"

using namespace troupe;

namespace {

using news = heard<welcome, view_published, cluster_started, node_lost>;

class Controller : public actor_fixture {
protected:
  Controller() {
    cluster_ = local(3, 1, 1);
    for (auto& node : cluster_.nodes)
      names_.push_back(node.name);
    for (size_t n = 0; n < cluster_.nodes.size(); ++n)
      news_.push_back(std::make_shared<news>());
    context_.here->update([this](cast_list& list) {
      list.supervisor = spawn_listener<supervisor>(news_[0]);
      list.peers[1] = spawn_listener<peer>(news_[1]);
      list.peers[2] = spawn_listener<peer>(news_[2]);
    });
    controller_
      = spawn_controller(system_, context_, cluster_, "/models/nano",
                         [this](node_id n) { monitored_.push_back(n); });
    scheduler_.run();
  }

  void join(node_id node, uint64_t incarnation) {
    say(controller_,
        node_joined{node, {names_[node], incarnation, {"127.0.0.1", 9}}});
  }

  void join(node_id node) {
    join(node, 100u + node);
  }

  void join_all() {
    for (node_id n = 0; n < 3; ++n)
      join(n);
  }

  /// The node is the controller's like in everything, or in `settings`.
  void load(node_id node, const std::string& settings = "hidden_size 64\n") {
    say(controller_, node_loaded{node, {settings, "", {}, false}});
    say(controller_, node_loaded{node, {"", "", {}, true}});
  }

  void read_model() {
    say(controller_, model_known{std::make_shared<const digest_table>()});
  }

  void load_all() {
    for (node_id n = 0; n < 3; ++n)
      load(n);
    read_model();
  }

  void connect_all() {
    for (node_id n = 0; n < 3; ++n)
      say(controller_, node_connected{n});
  }

  void suspect(node_id node, const std::string& why, node_id by = 0) {
    say(controller_, node_suspected{by, node, 100u + node, why});
  }

  template <class Message>
  std::vector<size_t> how_many() const {
    std::vector<size_t> out;
    for (auto& x : news_)
      out.push_back(x->template of<Message>().size());
    return out;
  }

  topology cluster_;
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<news>> news_;
  std::vector<node_id> monitored_;
  controller controller_;
};

using counts_by_node = std::vector<size_t>;

} // namespace

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
  say(controller_, node_connected{2});
  say(controller_, node_connected{2});
  say(controller_, node_connected{0});
  EXPECT_EQ(how_many<cluster_started>(), (counts_by_node{0, 0, 0}));
  say(controller_, node_connected{1});
  say(controller_, node_connected{1});
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
  say(controller_, node_loaded{0, {"hidden_size 64\n", "", {}, false}});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  say(controller_, node_loaded{2, {"hidden_size 63\n", "", {}, false}});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}))
    << "before anybody has loaded";
  say(controller_, node_loaded{2, {"", "", {}, true}});
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

TEST_F(Controller, TurnsAwayWhoComesBackOrIsThereTwice) {
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
    say(controller_, node_suspected{0, 1, other, "it was silent"});
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
