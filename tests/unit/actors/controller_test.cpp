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

  void join(node_id node) {
    say(controller_,
        node_joined{node, {names_[node], 100u + node, {"127.0.0.1", 9}}});
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
  say(controller_, node_suspected{1, "no heartbeat for 2 s"});
  say(controller_, node_suspected{1, "the connection broke"});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  auto loss = news_[0]->of<node_lost>()[0];
  EXPECT_EQ(loss.node, 1);
  EXPECT_EQ(loss.name, names_[1]);
  EXPECT_EQ(loss.why, "no heartbeat for 2 s");
  say(controller_, node_suspected{2, "gone, too"});
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
  join(2);
  say(controller_, node_suspected{1, "it was restarted"});
  join(1);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(monitored_.size(), 2u);
  EXPECT_EQ(net_.given_up, (std::vector<node_id>{2, 1}));
}

TEST_F(Controller, IgnoresEvidenceAgainstNodesThatDoNotExist) {
  join_all();
  say(controller_, node_suspected{3, "who?"});
  say(controller_, node_suspected{65535, "who?"});
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
}
