#include "deploy/live_faults.hpp"

#include <gtest/gtest.h>
#include <signal.h>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

using strings = std::vector<std::string>;

const strings nodes{"front", "ranks", "experts", "elsewhere"};

/// Nodes 1 and 2 are children; what is asked of them is written down.
class scripted_world : public live_world {
public:
  bool is_child(node_id node) const override {
    return node == 1 || node == 2;
  }

  bool send_signal(node_id node, int which) override {
    if (states[node] == process_state::is_gone)
      return false;
    asked.push_back(nodes[node] + " signal " + std::to_string(which));
    return true;
  }

  process_state state_of(node_id node) override {
    return states[node];
  }

  bool order(node_id node, const link_order& x) override {
    if (states[node] == process_state::is_gone || is_full)
      return false;
    asked.push_back(nodes[node] + " " + render(x));
    return true;
  }

  std::vector<link_effect> news() override {
    return std::exchange(effects, {});
  }

  std::map<node_id, process_state> states;
  std::vector<link_effect> effects;
  strings asked;
  bool is_full = false; ///< No order is taken.
};

fault of(fault_kind kind, std::string node, std::string peer = {}) {
  fault out;
  out.kind = kind;
  out.node = std::move(node);
  out.peer = std::move(peer);
  out.lasts = form_of(kind).lasts ? virtual_duration{1s} : virtual_duration{};
  return out;
}

class LiveFaults : public testing::Test {
protected:
  strings taken() {
    return std::exchange(world_.asked, {});
  }

  /// Why `x` cannot be in a plan; empty if it can.
  std::string refusal_of(const fault& x) {
    auto ok = check_live_plan({x}, nodes, world_);
    return ok ? "" : ok.why().message;
  }

  strings lines_;
  scripted_world world_;
  logger log_{"test", log_level::warning,
              [this](auto, auto&, auto line) { lines_.emplace_back(line); }};
  live_faults faults_{nodes, world_, log_};
};

} // namespace

TEST_F(LiveFaults, AKillIsVerifiedOnceTheProcessIsGone) {
  auto x = faults_.begin(of(fault_kind::kill, "ranks"));
  ASSERT_TRUE(x);
  EXPECT_EQ(taken(), strings{"ranks signal 9"});
  EXPECT_FALSE(faults_.evidence(*x));
  EXPECT_TRUE(faults_.active().empty()) << "it has no end";
  world_.states[1] = process_state::is_gone;
  faults_.look();
  EXPECT_EQ(faults_.evidence(*x), "its process is gone");
  EXPECT_EQ(lines_,
            (strings{"fault begins: kill ranks",
                     "fault verified: kill ranks: its process is gone"}));
}

TEST_F(LiveFaults, APauseIsVerifiedWhileTheProcessIsStopped) {
  auto x = faults_.begin(of(fault_kind::pause, "experts"));
  ASSERT_TRUE(x);
  EXPECT_EQ(faults_.active(), strings{"pause experts for 1s"});
  faults_.look();
  EXPECT_FALSE(faults_.evidence(*x));
  world_.states[2] = process_state::is_stopped;
  faults_.look();
  world_.states[2] = process_state::runs;
  faults_.heal(*x);
  EXPECT_EQ(faults_.evidence(*x), "its process is stopped");
  EXPECT_EQ(taken(), (strings{"experts signal " + std::to_string(SIGSTOP),
                              "experts signal " + std::to_string(SIGCONT)}));
  EXPECT_TRUE(faults_.active().empty());
}

TEST_F(LiveFaults, PausesThatOverlapEndWithTheLast) {
  auto first = faults_.begin(of(fault_kind::pause, "experts"));
  auto second = faults_.begin(of(fault_kind::pause, "experts"));
  auto other = faults_.begin(of(fault_kind::pause, "ranks"));
  ASSERT_TRUE(first && second && other);
  taken();
  faults_.heal(*first);
  EXPECT_EQ(taken(), strings{}) << "it stands still for the second, too";
  faults_.heal(*other);
  EXPECT_EQ(taken(), strings{"ranks signal " + std::to_string(SIGCONT)});
  faults_.heal(*second);
  EXPECT_EQ(taken(), strings{"experts signal " + std::to_string(SIGCONT)});
}

TEST_F(LiveFaults, AnEndThatIsNotTakenIsSaidAgain) {
  auto x = faults_.begin(of(fault_kind::cut, "front", "ranks"));
  auto y = faults_.begin(of(fault_kind::cut, "experts", "front"));
  ASSERT_TRUE(x && y);
  taken();
  world_.is_full = true;
  faults_.heal(*x);
  faults_.heal(*y);
  faults_.look();
  EXPECT_EQ(taken(), strings{});
  world_.is_full = false;
  world_.states[2] = process_state::is_gone; // nobody is left to be told
  faults_.look();
  EXPECT_EQ(taken(), (strings{"front heal 1", "ranks heal 2", "front heal 4"}));
  world_.states[2] = process_state::runs;
  faults_.look();
  EXPECT_EQ(taken(), strings{}) << "once each";
}

TEST_F(LiveFaults, APauseThatStopsNobodyHasNoEvidence) {
  auto x = faults_.begin(of(fault_kind::pause, "experts"));
  faults_.heal(*x);
  world_.states[2] = process_state::is_stopped; // somebody else's doing
  EXPECT_FALSE(faults_.evidence(*x));
}

TEST_F(LiveFaults, ACutIsHeldAtBothEndsAndCounted) {
  auto cut = of(fault_kind::cut, "front", "ranks");
  cut.frames = frame_filter::rows;
  auto x = faults_.begin(cut);
  ASSERT_TRUE(x);
  EXPECT_EQ(taken(),
            (strings{"front begin 1 0 1 1 0 0", "ranks begin 2 0 0 1 0 0"}));
  faults_.look();
  EXPECT_FALSE(faults_.evidence(*x));
  world_.effects = {{1, 3}, {2, 4}};
  faults_.look();
  EXPECT_EQ(faults_.evidence(*x), "7 frames held back");
  faults_.heal(*x);
  EXPECT_EQ(taken(), (strings{"front heal 1", "ranks heal 2"}));
}

TEST_F(LiveFaults, OneWayIsHeldByTheSenderAlone) {
  EXPECT_TRUE(faults_.begin(of(fault_kind::cut_oneway, "ranks", "front")));
  EXPECT_EQ(taken(), strings{"ranks begin 1 0 0 0 0 0"});
  EXPECT_TRUE(faults_.begin(of(fault_kind::reset, "ranks", "experts")));
  EXPECT_EQ(taken(), strings{"ranks reset 2 2"});
}

TEST_F(LiveFaults, DelaysAndRatesCarryTheirParameter) {
  auto delay = of(fault_kind::delay, "front", "ranks");
  delay.extra = 5ms;
  EXPECT_TRUE(faults_.begin(delay));
  EXPECT_EQ(taken(), (strings{"front begin 1 1 1 0 5000000 0",
                              "ranks begin 2 1 0 0 5000000 0"}));
  auto rate = of(fault_kind::rate, "front", "ranks");
  rate.bytes_per_second = 7;
  EXPECT_TRUE(faults_.begin(rate));
  EXPECT_EQ(taken(),
            (strings{"front begin 3 2 1 0 0 7", "ranks begin 4 2 0 0 0 7"}));
}

TEST_F(LiveFaults, WhatCannotBeginIsTakenBackAndSaid) {
  world_.states[2] = process_state::is_gone;
  auto x = faults_.begin(of(fault_kind::cut, "ranks", "experts"));
  ASSERT_FALSE(x);
  EXPECT_EQ(x.why().message, "one end of the link is gone");
  EXPECT_EQ(taken(), (strings{"ranks begin 1 0 2 0 0 0", "ranks heal 1"}));
  x = faults_.begin(of(fault_kind::pause, "experts"));
  ASSERT_FALSE(x);
  EXPECT_EQ(x.why().message, "there is no process of node experts");
}

TEST_F(LiveFaults, NothingStaysStoppedBehindThem) {
  {
    live_faults others{nodes, world_, log_};
    EXPECT_TRUE(others.begin(of(fault_kind::pause, "ranks")));
    taken();
  }
  EXPECT_EQ(taken(), strings{"ranks signal " + std::to_string(SIGCONT)});
}

TEST_F(LiveFaults, EveryKindIsDoneOrRefusedByName) {
  for (auto& form : fault_forms()) {
    auto x = of(form.kind, "ranks", "experts");
    auto why = refusal_of(x);
    if (why.empty()) {
      EXPECT_TRUE(faults_.begin(x)) << describe(x);
      EXPECT_FALSE(taken().empty()) << describe(x);
    } else {
      EXPECT_EQ(why, "faults that cannot happen here: " + describe(x)
                       + ": only troupe simulate can do that");
    }
  }
  for (auto kind : {fault_kind::kill, fault_kind::pause, fault_kind::cut,
                    fault_kind::cut_oneway, fault_kind::delay, fault_kind::rate,
                    fault_kind::reset, fault_kind::clog})
    EXPECT_EQ(refusal_of(of(kind, "ranks", "experts")), "");
}

TEST_F(LiveFaults, RefusesWhoTakesNoOrders) {
  EXPECT_EQ(refusal_of(of(fault_kind::kill, "front")),
            "faults that cannot happen here: kill front: this process has not "
            "started that node");
  EXPECT_NE(refusal_of(of(fault_kind::pause, "elsewhere")), "");
  EXPECT_NE(refusal_of(of(fault_kind::cut, "front", "elsewhere")), "");
  EXPECT_EQ(refusal_of(of(fault_kind::cut_oneway, "front", "elsewhere")), "");
  EXPECT_NE(refusal_of(of(fault_kind::cut_oneway, "elsewhere", "front")), "");
  EXPECT_NE(refusal_of(of(fault_kind::kill, std::string{any_name})), "");
}

TEST_F(LiveFaults, RefusesEventsThatNobodySees) {
  auto x = of(fault_kind::kill, "ranks");
  x.trigger = fault_trigger::on;
  x.event = trace_kind::token_emitted;
  EXPECT_EQ(refusal_of(x), "");
  x.event_node = "front";
  EXPECT_EQ(refusal_of(x), "");
  x.event_node = "ranks";
  EXPECT_EQ(refusal_of(x), "faults that cannot happen here: kill ranks: events "
                           "are seen at node front alone");
  x.event = trace_kind::frame_sent;
  EXPECT_EQ(refusal_of(x), "faults that cannot happen here: kill ranks: the "
                           "event frame_sent is not seen in a running cluster");
}

TEST_F(LiveFaults, OneSentenceNamesAllThatIsRefused) {
  auto ok = check_live_plan({of(fault_kind::slow, "ranks"),
                             of(fault_kind::kill, "ranks"),
                             of(fault_kind::kill, "front")},
                            nodes, world_);
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().message,
            "faults that cannot happen here: slow ranks for 1s: only troupe "
            "simulate can do that; kill front: this process has not started "
            "that node");
}
