// Who is watched by a node that is not the first, whom it believes, and how it
// comes to its end: there is no silence that nobody notices.

#include "tests/unit/actors/actor_fixture.hpp"

using namespace troupe;

namespace {

using losses = std::vector<std::pair<node_id, uint64_t>>;

/// The supervisor of node 1 of three; incarnations are those of view_of.
class Verdicts : public actor_fixture {
protected:
  Verdicts() {
    context_.incarnation = 101;
    context_.here->update([this](cast_list& list) {
      list.peers[0] = spawn_listener<peer>(to_controller_);
    });
    supervisor_hooks hooks;
    hooks.connect = [this](node_id n, auto&) { dialled_.push_back(n); };
    hooks.monitor = [this](node_id n) { watched_.insert(n); };
    hooks.identify = [](auto, auto&) {};
    hooks.settle_place = [this](node_id n, auto&, uint64_t incarnation, auto&) {
      places_[n] = incarnation;
    };
    hooks.on_end = [this](auto& cause) { ends_.push_back(cause); };
    hooks.run_blocking = [](auto) {};
    supervisor_ = spawn_supervisor(system_, context_, {}, hooks);
    scheduler_.run();
  }

  ~Verdicts() override {
    caf::anon_send_exit(supervisor_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void join(node_id node, uint64_t incarnation) {
    say(supervisor_, peer_joined{node, {"n", incarnation, {}}});
  }

  void load(bool is_running = false) {
    say(supervisor_,
        welcome{1, render(local(3, 1, 1)), "/models/nano", is_running});
    auto parts = std::make_shared<node_parts>();
    parts->maps.resize(1);
    parts->cluster = local(3, 1, 1);
    say(supervisor_, parts_loaded{parts, std::nullopt});
  }

  void publish() {
    say(supervisor_, view_published{view_of(3)});
  }

  /// View `number`, in which node 2 is `successor`, and that is `is`.
  void publish(uint32_t number, uint64_t successor,
               member_state is = member_state::joining) {
    auto next = std::make_shared<view>(*view_of(3));
    next->number = number;
    next->members[0].is = next->members[1].is = member_state::serving;
    next->members[2].incarnation = successor;
    next->members[2].is = is;
    say(supervisor_, view_published{next});
  }

  /// What ranks of this node hear from now on.
  std::shared_ptr<heard<node_lost, node_back, tick>> listen_as_rank() {
    auto out = std::make_shared<heard<node_lost, node_back, tick>>();
    context_.here->update(
      [&](cast_list& list) { list.ranks[0] = spawn_listener<attention>(out); });
    return out;
  }

  /// As far as it serves, connected to both others.
  void serve() {
    join(0, 100);
    load();
    publish();
    join(2, 102);
    say(supervisor_, cluster_started{});
    ASSERT_EQ(to_controller_->of<node_connected>().size(), 1u);
  }

  std::vector<node_suspected> suspicions() const {
    return to_controller_->of<node_suspected>();
  }

  /// Why it has ended; empty if it has not.
  std::string end() const {
    return ends_.empty() || !ends_[0] ? "" : ends_[0]->message;
  }

  std::shared_ptr<
    heard<node_suspected, node_connected, node_loaded, node_report>>
    to_controller_ = std::make_shared<
      heard<node_suspected, node_connected, node_loaded, node_report>>();
  std::vector<node_id> dialled_;
  std::set<node_id> watched_;
  std::map<node_id, uint64_t> places_; ///< Whose they are; 0: nobody's.
  std::vector<std::optional<failure>> ends_;
  supervisor supervisor_;
};

} // namespace

TEST_F(Verdicts, TheControllerIsWatchedFromTheFirstMeetingOn) {
  join(0, 100);
  EXPECT_EQ(watched_, std::set<node_id>{0});
  load();
  publish();
  join(2, 102);
  EXPECT_EQ(watched_, (std::set<node_id>{0, 2})) << "and the next node";
}

TEST_F(Verdicts, WithoutTheControllerANodeEndsHoweverFarItHasCome) {
  join(0, 100);
  say(supervisor_, peer_gone{0, 100, "node n0 was silent for 1.0 s"});
  EXPECT_EQ(end(), "the controller is gone: node n0 was silent for 1.0 s");
}

TEST_F(Verdicts, WithoutTheControllerANodeThatServesEnds) {
  serve();
  say(supervisor_, peer_gone{0, 100, "node n0 closed its connection"});
  EXPECT_EQ(end(), "the controller is gone: node n0 closed its connection");
}

TEST_F(Verdicts, WhoIsRefusedByTheControllerEndsWithItsSentence) {
  say(supervisor_, peer_missed{0, {errc::refused, "node n1 was lost"}});
  EXPECT_EQ(end(), "node n1 was lost");
}

TEST_F(Verdicts, BeforeTheViewAnyLossIsTheEndOfTheStartWhoeverCameSince) {
  join(0, 100);
  load();
  join(2, 202); // the second process under that name, before the verdict
  say(supervisor_, node_lost{2, 102, "n2", "it was silent"});
  EXPECT_EQ(end(), "node n2 was lost while the cluster was starting: it was "
                   "silent");
}

TEST_F(Verdicts, SuspectsWhoIsGoneAndWhomItCannotReachByTheirIncarnation) {
  join(0, 100);
  load();
  publish();
  EXPECT_EQ(dialled_, std::vector<node_id>{2});
  // Somebody may be in the way for a moment: it is dialled again.
  for (int i = 0; i < 8; ++i) {
    say(supervisor_, peer_missed{2, {errc::peer_lost, "nobody is there"}});
    scheduler_.advance_time(std::chrono::milliseconds{250});
    scheduler_.run();
    EXPECT_EQ(suspicions().empty(), i < 7) << i;
  }
  EXPECT_EQ(dialled_.size(), 8u);
  ASSERT_EQ(suspicions().size(), 1u);
  join(2, 102);
  say(supervisor_, peer_gone{2, 102, "it was silent"});
  ASSERT_EQ(suspicions().size(), 2u);
  for (auto& x : suspicions()) {
    EXPECT_EQ(x.by, 1);
    EXPECT_EQ(x.node, 2);
    EXPECT_EQ(x.incarnation, 102u);
  }
  EXPECT_EQ(end(), "");
}

TEST_F(Verdicts, LateNewsOfAPredecessorChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(serve());
  say(supervisor_, peer_gone{2, 7, "it was silent"});
  say(supervisor_, peer_gone{0, 7, "it was silent"});
  say(supervisor_, node_lost{2, 7, "n2", "it was silent"});
  say(supervisor_, node_lost{1, 7, "n1", "it was silent"});
  EXPECT_TRUE(suspicions().empty());
  EXPECT_TRUE(net_.given_up.empty());
  EXPECT_EQ(places_[2], 102u);
  EXPECT_TRUE(ends_.empty());
  say(supervisor_, node_lost{2, 102, "n2", "it was silent"});
  EXPECT_EQ(net_.given_up, (losses{{2, 102}}));
  EXPECT_EQ(net_.reasons[0], "it was silent");
}

TEST_F(Verdicts, BeforeTheNextViewNobodyTakesThePlaceOfWhoIsLost) {
  ASSERT_NO_FATAL_FAILURE(serve());
  say(supervisor_, node_lost{2, 102, "n2", "it was silent"});
  EXPECT_EQ(places_[2], 0u);
  say(supervisor_, peer_gone{2, 102, "node n2 was given up: it was silent"});
  EXPECT_TRUE(suspicions().empty());
  EXPECT_TRUE(ends_.empty());
}

TEST_F(Verdicts, WhoIsLostItselfEndsWithTheSentence) {
  ASSERT_NO_FATAL_FAILURE(serve());
  say(supervisor_, node_lost{1, 101, "n1", "its tokens would differ"});
  EXPECT_EQ(end(), "the controller gave up this node: its tokens would differ");
  EXPECT_TRUE(net_.given_up.empty());
}

TEST_F(Verdicts, AProcessThatIsNotTheMemberIsNotTakenForIt) {
  join(0, 100);
  join(2, 7); // before the view says who is who
  load();
  publish();
  EXPECT_EQ(net_.given_up, (losses{{2, 7}}));
  EXPECT_EQ(dialled_, std::vector<node_id>{2});
  join(2, 8);
  EXPECT_EQ(net_.given_up, (losses{{2, 7}, {2, 8}}));
  EXPECT_TRUE(to_controller_->of<node_connected>().empty());
  join(2, 102);
  EXPECT_EQ(to_controller_->of<node_connected>().size(), 1u);
  EXPECT_TRUE(suspicions().empty());
}

TEST_F(Verdicts,
       ASuccessorIsDialledFromTheNextViewOnAndToldToRanksOnceItServes) {
  ASSERT_NO_FATAL_FAILURE(serve());
  auto rank = listen_as_rank();
  say(supervisor_, node_lost{2, 102, "n2", "it was killed"});
  EXPECT_EQ(rank->of<node_lost>().size(), 1u);
  publish(2, 202);
  EXPECT_EQ(places_[2], 202u);
  EXPECT_EQ(dialled_, (std::vector<node_id>{2, 2}));
  EXPECT_EQ(to_controller_->of<node_connected>().size(), 1u);
  join(2, 202);
  auto connected = to_controller_->of<node_connected>();
  ASSERT_EQ(connected.size(), 2u);
  EXPECT_EQ(connected[1].view, 2u);
  EXPECT_TRUE(rank->of<node_back>().empty());
  say(supervisor_, node_back{2, 202, "n2"});
  EXPECT_EQ(rank->of<node_back>().size(), 1u);
  EXPECT_TRUE(net_.given_up == (losses{{2, 102}}));
  say(supervisor_, node_lost{2, 102, "n2", "it was killed"}); // late
  EXPECT_EQ(rank->of<node_lost>().size(), 1u);
  say(supervisor_, node_lost{2, 202, "n2", "and again"});
  EXPECT_EQ(rank->of<node_lost>().size(), 2u);
  EXPECT_EQ(end(), "");
}

TEST_F(Verdicts, ASuccessorThatIsLostOnItsWayIsAwaitedNoMore) {
  ASSERT_NO_FATAL_FAILURE(serve());
  say(supervisor_, node_lost{2, 102, "n2", "it was killed"});
  publish(2, 202);
  say(supervisor_, node_lost{2, 202, "n2", "and again"});
  auto connected = to_controller_->of<node_connected>();
  ASSERT_EQ(connected.size(), 2u);
  EXPECT_EQ(connected[1].view, 2u) << "to all who are left of it";
  publish(3, 302);
  EXPECT_EQ(dialled_, (std::vector<node_id>{2, 2, 2}));
  join(2, 302);
  EXPECT_EQ(to_controller_->of<node_connected>().back().view, 3u);
  publish(2, 202); // late
  EXPECT_EQ(places_[2], 302u);
  EXPECT_TRUE(suspicions().empty());
}

TEST_F(Verdicts, AViewThatChangesNothingForUsLeavesConnectionsAlone) {
  ASSERT_NO_FATAL_FAILURE(serve());
  publish(2, 102, member_state::serving);
  EXPECT_EQ(dialled_, std::vector<node_id>{2});
  EXPECT_TRUE(net_.given_up.empty());
  EXPECT_EQ(to_controller_->of<node_connected>().back().view, 2u);
}

TEST_F(Verdicts, WhoComesLateOutlivesTheLossOfOthers) {
  join(0, 100);
  auto rank = listen_as_rank();
  load(true);
  say(supervisor_, node_lost{2, 102, "n2", "it was killed"});
  EXPECT_EQ(end(), "");
  context_.here->update(
    [&](cast_list& list) { list.ranks[0] = spawn_listener<attention>(rank); });
  publish(5, 102, member_state::absent);
  EXPECT_EQ(to_controller_->of<node_connected>().size(), 1u)
    << "there is nobody else";
  ASSERT_EQ(rank->of<node_lost>().size(), 1u)
    << "its ranks hear who is missing";
  EXPECT_EQ(rank->of<node_lost>()[0].node, 2);
}

TEST_F(Verdicts, WhoComesLateEndsWhereItCannotReachAMember) {
  join(0, 100);
  load(true);
  publish(5, 102, member_state::serving);
  // As long as it may take until everybody has heard of it.
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(end(), "") << i;
    say(supervisor_, peer_missed{2, {errc::peer_lost, "nobody is there"}});
    scheduler_.advance_time(std::chrono::milliseconds{250});
    scheduler_.run();
  }
  EXPECT_EQ(end(), "nobody is there");
  EXPECT_TRUE(suspicions().empty()) << "that is not the other's fault";
}
