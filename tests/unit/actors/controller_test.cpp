#include "tests/unit/actors/actor_fixture.hpp"

using namespace troupe;

namespace {

/// Keeps what it is given until the disk is full.
class small_store final : public state_store {
public:
  const std::optional<cluster_state>& last() const override {
    return inner_->last();
  }

  result<void> compare_and_set(uint64_t seen, cluster_state next) override {
    if (is_full)
      return failure{errc::io, "the disk is full"};
    return inner_->compare_and_set(seen, std::move(next));
  }

  bool is_full = false;

private:
  std::unique_ptr<state_store> inner_ = make_memory_store();
};

using news = heard<welcome, view_published, cluster_started, node_lost,
                   node_back, placement_published, shut_down>;

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
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano",
      [this](node_id n) { monitored_.push_back(n); }, kept_);
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
  void load(node_id node, const std::string& settings = "hidden_size 64\n",
            uint64_t incarnation = 0) {
    if (incarnation == 0)
      incarnation = 100u + node;
    say(controller_, node_loaded{node, {settings, "", {}, false}, incarnation});
    say(controller_, node_loaded{node, {"", "", {}, true}, incarnation});
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
      connect(n, 1);
  }

  void connect(node_id node, uint32_t view, uint64_t incarnation = 0) {
    say(
      controller_,
      node_connected{node, view, incarnation == 0 ? 100u + node : incarnation});
  }

  void start_all() {
    join_all();
    load_all();
    connect_all();
  }

  void suspect(node_id node, const std::string& why, node_id by = 0) {
    say(controller_, node_suspected{by, node, 100u + node, why, 100u + by});
  }

  template <class Message>
  std::vector<size_t> how_many() const {
    std::vector<size_t> out;
    for (auto& x : news_)
      out.push_back(x->template of<Message>().size());
    return out;
  }

  topology cluster_;
  std::shared_ptr<small_store> kept_ = std::make_shared<small_store>();
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

// -- who leaves ---------------------------------------------------------------

namespace {

class ControllerLeaving : public Controller {
protected:
  ControllerLeaving() {
    context_.here->update([this](cast_list& list) {
      list.placer = spawn_listener<placer>(placer_);
      list.gateway = spawn_listener<gateway>(gateway_);
    });
    start_all();
  }

  void drain(const std::string& name) {
    using callback = std::function<void(const result<void>&)>;
    say(controller_,
        drain_node{name, std::chrono::seconds{60},
                   std::make_shared<const callback>([this](auto& x) {
                     answers_.push_back(x ? "" : x.why().message);
                   })});
  }

  void tell_progress(leaving_progress::part of, uint64_t done, uint64_t left,
                     bool is_done = false) {
    say(controller_, leaving_progress{1, of, done, left, is_done});
  }

  std::string progress() const {
    auto x = context_.here->read()->drain;
    return x ? sentence(*x) : "";
  }

  using part = leaving_progress::part;

  std::shared_ptr<heard<node_leaving>> placer_
    = std::make_shared<heard<node_leaving>>();
  std::shared_ptr<heard<node_leaving>> gateway_
    = std::make_shared<heard<node_leaving>>();
  std::vector<std::string> answers_;
};

} // namespace

TEST_F(ControllerLeaving, TellsANodeToEndThatHasNothingAnyMore) {
  drain(names_[1]);
  EXPECT_EQ(placer_->of<node_leaving>().size(), 1u);
  EXPECT_TRUE(gateway_->of<node_leaving>().empty()) << "is there room?";
  EXPECT_TRUE(answers_.empty());
  tell_progress(part::experts, 0, 4);
  EXPECT_EQ(gateway_->of<node_leaving>().size(), 1u);
  EXPECT_EQ(answers_, std::vector<std::string>{""});
  tell_progress(part::requests, 0, 2);
  EXPECT_EQ(progress(),
            "node " + names_[1] + ": experts 0 of 4 moved, 2 requests left");
  tell_progress(part::experts, 4, 0, true);
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 0, 0}));
  tell_progress(part::requests, 0, 0);
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 1, 0}));
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{0, 0, 0}));
  suspect(1, "its connection has ended", 2);
  ASSERT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  EXPECT_TRUE(news_[2]->of<node_lost>()[0].has_left);
  EXPECT_EQ(progress(), "node " + names_[1] + " has left");
}

TEST_F(ControllerLeaving, RefusesWithASentence) {
  drain(names_[0]);
  drain("nobody");
  drain(names_[1]);
  drain(names_[2]);
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_NE(answers_[0].find("is the first one"), std::string::npos);
  EXPECT_EQ(answers_[1], "the cluster has no node named nobody");
  EXPECT_EQ(answers_[2],
            "node " + names_[1] + " is leaving: one after the other");
}

TEST_F(ControllerLeaving, WhoDiesMeanwhileIsLost) {
  drain(names_[1]);
  tell_progress(part::experts, 0, 4);
  suspect(1, "it was killed");
  ASSERT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}));
  EXPECT_FALSE(news_[2]->of<node_lost>()[0].has_left);
  tell_progress(part::experts, 4, 0, true); // late
  tell_progress(part::requests, 0, 0);
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 0, 0}));
}

TEST_F(ControllerLeaving, WhoDoesNotComeThroughInTimeStays) {
  drain(names_[1]);
  tell_progress(part::experts, 0, 4);
  for (int i = 0; i < 4 * 61; ++i) {
    scheduler_.advance_time(std::chrono::milliseconds{250});
    scheduler_.run();
  }
  ASSERT_EQ(gateway_->of<node_leaving>().size(), 2u);
  EXPECT_TRUE(gateway_->of<node_leaving>()[1].stays);
  EXPECT_TRUE(placer_->of<node_leaving>().back().stays);
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 0, 0}));
  drain(names_[1]);
  EXPECT_EQ(placer_->of<node_leaving>().size(), 3u) << "it may be tried again";
}

TEST_F(ControllerLeaving, ItsNameMayJoinAgain) {
  drain(names_[1]);
  tell_progress(part::experts, 0, 0, true);
  tell_progress(part::requests, 0, 0);
  suspect(1, "its connection has ended");
  join(1, 201);
  EXPECT_EQ(how_many<welcome>(), (counts_by_node{1, 2, 1}));
  load(1, "hidden_size 64\n", 201);
  connect(0, 2);
  connect(1, 2, 201);
  connect(2, 2);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 1, 1}));
}
