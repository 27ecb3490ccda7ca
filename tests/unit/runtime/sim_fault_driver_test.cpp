#include "runtime/sim/fault_driver.hpp"

#include <gtest/gtest.h>

#include <map>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

const std::vector<std::string> nodes{"front", "rank-0", "worker-1"};

/// Writes down what it is told.
class scripted_target : public fault_target {
public:
  result<fault_handle> begin(const fault& x) override {
    if (!refusal.empty())
      return failure{errc::not_found, refusal};
    told.push_back("begin " + describe(x));
    if (on_begin)
      on_begin();
    return fault_handle(++last_);
  }

  void heal(fault_handle x) override {
    told.push_back("heal " + std::to_string(x));
  }

  std::optional<std::string> evidence(fault_handle x) override {
    auto at = known.find(x);
    return at == known.end() ? std::nullopt : std::optional{at->second};
  }

  std::vector<std::string> told;
  std::map<fault_handle, std::string> known;
  std::string refusal;
  std::function<void()> on_begin;

private:
  fault_handle last_ = 0;
};

class FaultDriver : public testing::Test {
protected:
  void begin(std::vector<fault> plan, uint64_t seed = 1) {
    driver_.emplace(std::move(plan), nodes, world_begin, seed, target_);
  }

  /// Lets time pass to each instant at which something is due.
  void run_until(virtual_duration end) {
    while (driver_->next() <= world_begin + end) {
      times_.push_back(driver_->next() - world_begin);
      EXPECT_TRUE(driver_->is_due(driver_->next()));
      driver_->act(driver_->next());
    }
  }

  void happen(trace_kind kind, node_id node = 1) {
    driver_->hear({.kind = kind, .at = now_, .node = node});
    now_ += 1ms;
    if (driver_->is_due(now_))
      driver_->act(now_);
  }

  std::vector<std::string> lines(std::initializer_list<const char*> all) {
    return {all.begin(), all.end()};
  }

  fault_report only_report() {
    auto all = driver_->reports();
    EXPECT_EQ(all.size(), 1u);
    return all.front();
  }

  scripted_target target_;
  std::optional<fault_driver> driver_;
  std::vector<virtual_duration> times_;
  virtual_instant now_ = world_begin;
};

fault kill_at(virtual_duration at) {
  fault x;
  x.node = "worker-1";
  x.at = at;
  return x;
}

fault pause_at(virtual_duration at, virtual_duration lasts) {
  auto x = kill_at(at);
  x.kind = fault_kind::pause;
  x.lasts = lasts;
  return x;
}

fault kill_on(trace_kind event, uint64_t nth) {
  auto x = kill_at(0s);
  x.trigger = fault_trigger::on;
  x.event = event;
  x.nth_event = nth;
  return x;
}

fault pause_every(virtual_duration every, uint32_t times) {
  auto x = pause_at(0s, 1s);
  x.trigger = fault_trigger::every;
  x.every = every;
  x.times = times;
  return x;
}

} // namespace

TEST_F(FaultDriver, BeginsAtItsTimeAndHealsWhenItIsOver) {
  begin({pause_at(2s, 3s), kill_at(1s)});
  EXPECT_FALSE(driver_->is_due(world_begin));
  run_until(1h);
  EXPECT_EQ(times_, (std::vector<virtual_duration>{1s, 2s, 5s}));
  EXPECT_EQ(target_.told, lines({"begin kill worker-1",
                                 "begin pause worker-1 for 3s", "heal 2"}));
  EXPECT_TRUE(driver_->is_idle());
}

TEST_F(FaultDriver, RepeatsAsOftenAsItShould) {
  begin({pause_every(5s, 3)});
  run_until(1h);
  EXPECT_EQ(times_,
            (std::vector<virtual_duration>{5s, 6s, 10s, 11s, 15s, 16s}));
  for (fault_handle i = 1; i <= 3; ++i)
    target_.known[i] = "stood still";
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::happened);
  EXPECT_EQ(report.times, 3u);
  EXPECT_EQ(report.first_begin, world_begin + 5s);
  EXPECT_EQ(report.last_end, world_begin + 16s);
  EXPECT_EQ(report.evidence, "stood still");
  EXPECT_TRUE(report.why.empty());
}

TEST_F(FaultDriver, BeginsAfterTheNthEventOfItsKindAndNode) {
  auto at_rank = kill_on(trace_kind::token_emitted, 2);
  at_rank.event_node = "rank-0";
  begin({at_rank});
  for (auto kind : {trace_kind::token_emitted, trace_kind::frame_sent})
    happen(kind);
  happen(trace_kind::token_emitted, 2);
  EXPECT_TRUE(target_.told.empty());
  happen(trace_kind::token_emitted);
  EXPECT_EQ(target_.told.size(), 1u);
  happen(trace_kind::token_emitted);
  EXPECT_EQ(target_.told.size(), 1u);
  EXPECT_TRUE(driver_->is_idle());
}

TEST_F(FaultDriver, BeginsNothingInTheMidstOfAnEvent) {
  begin({kill_on(trace_kind::frame_sent, 1)});
  driver_->hear({.kind = trace_kind::frame_sent, .at = now_, .node = 1});
  EXPECT_TRUE(target_.told.empty());
  EXPECT_TRUE(driver_->is_due(now_));
  EXPECT_FALSE(driver_->is_idle());
  driver_->act(now_);
  EXPECT_EQ(target_.told.size(), 1u);
  EXPECT_FALSE(driver_->is_due(now_));
}

TEST_F(FaultDriver, OneFaultCanBringTheNext) {
  begin({kill_on(trace_kind::fault_began, 1), pause_at(1s, 1s)});
  target_.on_begin = [this] {
    driver_->hear({.kind = trace_kind::fault_began, .at = now_});
  };
  driver_->act(world_begin + 1s);
  EXPECT_TRUE(driver_->is_due(world_begin + 1s));
  driver_->act(world_begin + 1s);
  EXPECT_EQ(target_.told,
            lines({"begin pause worker-1 for 1s", "begin kill worker-1"}));
}

TEST_F(FaultDriver, SaysThatItsTimeNeverCame) {
  begin({kill_on(trace_kind::frame_sent, 3)});
  happen(trace_kind::frame_sent);
  driver_->stop(now_);
  happen(trace_kind::frame_sent);
  happen(trace_kind::frame_sent);
  EXPECT_TRUE(target_.told.empty());
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::never_due);
  EXPECT_EQ(report.why, "kill worker-1: its time never came");
  EXPECT_TRUE(report.fails());
}

TEST_F(FaultDriver, FailsNobodyWhereItNeedNotHappen) {
  auto x = kill_on(trace_kind::frame_sent, 3);
  x.must_happen = false;
  begin({x});
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::never_due);
  EXPECT_FALSE(report.fails());
}

TEST_F(FaultDriver, IsContentIfWhatComesAgainHadAnEffectOnce) {
  begin({pause_every(5s, 3)});
  run_until(11s);
  target_.known = {{2, "yes"}};
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::happened);
  EXPECT_EQ(report.times, 2u);
  EXPECT_EQ(report.evidence, "yes");
}

TEST_F(FaultDriver, SaysThatItHadNoEffect) {
  begin({pause_every(5s, 3)});
  run_until(1h);
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::no_effect);
  EXPECT_TRUE(report.fails());
  EXPECT_EQ(report.why, "pause worker-1 for 1s: it began 3 times, and nothing "
                        "shows that it did anything");
}

TEST_F(FaultDriver, SaysWhyItCouldNotBegin) {
  begin({kill_at(1s)});
  target_.refusal = "worker-1 has ended already";
  run_until(1h);
  auto report = only_report();
  EXPECT_EQ(report.outcome, fault_outcome::impossible);
  EXPECT_EQ(report.why,
            "kill worker-1: it could not begin: worker-1 has ended already");
  EXPECT_TRUE(report.fails());
}

TEST_F(FaultDriver, HealsAllBeforeTheSecondPhaseAndBeginsNothingInIt) {
  begin({pause_at(1s, 10s), pause_at(20s, 1s), pause_every(2s, 100)});
  run_until(2s);
  driver_->stop(world_begin + 2500ms);
  EXPECT_EQ(target_.told.back(), "heal 2");
  EXPECT_EQ(target_.told.size(), 4u);
  EXPECT_TRUE(driver_->is_idle());
  driver_->act(world_begin + 1h);
  EXPECT_EQ(target_.told.size(), 4u);
}

TEST_F(FaultDriver, AsksForEvidenceBeforeItHealsAndAfterTheRun) {
  begin({pause_at(1s, 1s)});
  run_until(1s);
  target_.known[1] = "it stands still";
  run_until(2s);
  target_.known.clear();
  EXPECT_EQ(only_report().evidence, "it stands still");

  begin({kill_at(1s)});
  run_until(1s);
  target_.known[2] = "it is gone";
  EXPECT_EQ(only_report().evidence, "it is gone");
}

TEST_F(FaultDriver, LeavesToChanceWhatItShould) {
  int begun = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    auto x = kill_at(1s);
    x.p = 0.25;
    begin({x}, seed);
    target_.told.clear();
    run_until(1h);
    begun += int(target_.told.size());
    if (target_.told.empty()) {
      EXPECT_EQ(only_report().outcome, fault_outcome::not_drawn);
      EXPECT_FALSE(only_report().fails());
    }
  }
  EXPECT_NEAR(begun, 250, 50);
}

TEST_F(FaultDriver, KnowsThatItWasDrawnAlsoIfTheRunWasOverThen) {
  auto x = kill_on(trace_kind::frame_sent, 1);
  x.p = 0.999;
  begin({x});
  driver_->hear({.kind = trace_kind::frame_sent, .at = now_, .node = 1});
  ASSERT_TRUE(driver_->is_due(now_)) << "drawn";
  driver_->stop(now_);
  EXPECT_EQ(only_report().outcome, fault_outcome::never_due);
  EXPECT_TRUE(only_report().fails());
}

TEST_F(FaultDriver, TriesAgainAtTheNextEvent) {
  auto x = kill_on(trace_kind::frame_sent, 10);
  x.p = 0.1;
  int tries = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    begin({x}, seed);
    target_.told.clear();
    int events = 0;
    for (; target_.told.empty() && events < 1000; ++events)
      happen(trace_kind::frame_sent);
    ASSERT_GE(events, 10);
    tries += events - 9;
  }
  EXPECT_NEAR(tries / 300.0, 10, 2);
}

TEST_F(FaultDriver, DrawsForEqualFaultsApartAndForEachTheSameAgain) {
  auto x = kill_at(1s);
  x.p = 0.5;
  int different = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    begin({x, x}, seed);
    target_.told.clear();
    run_until(1h);
    auto both = target_.told.size();
    different += both == 1 ? 1 : 0;
    begin({x, x}, seed);
    target_.told.clear();
    run_until(1h);
    EXPECT_EQ(target_.told.size(), both);
  }
  EXPECT_NEAR(different, 50, 20);
}

TEST_F(FaultDriver, LeavesTheChanceOfFramesToTheWorld) {
  fault x;
  x.kind = fault_kind::duplicate;
  x.node = "front";
  x.peer = "rank-0";
  x.lasts = 1s;
  x.p = 1e-9;
  begin({x});
  run_until(0s);
  EXPECT_EQ(target_.told.size(), 1u);
}
