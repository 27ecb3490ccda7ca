// Nodes that leave in peace, and placements that outlive all processes.

#include "runtime/cluster/kept_placement.hpp"
#include "tests/unit/actors/controller_fixture.hpp"

using namespace troupe;

// -- who leaves ---------------------------------------------------------------

namespace {

class ControllerLeaving : public Controller {
protected:
  ControllerLeaving() {
    cluster_.nodes[2].ranks = {1}; // who goes on when the other's node leaves
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano", [](node_id) {}, kept_);
    scheduler_.run();
    context_.here->update([this](cast_list& list) {
      list.placer = spawn_listener<placer>(placer_);
      list.gateway = spawn_listener<gateway>(gateway_);
    });
    start_all();
  }

  /// Whoever is leaving is looked after for longer than a test lives.
  ~ControllerLeaving() override {
    say(controller_, troupe::shut_down{});
  }

  void drain(const std::string& name) {
    using callback = std::function<void(const result<void>&)>;
    say(controller_,
        drain_node{name, std::chrono::seconds{60},
                   std::make_shared<const callback>([this](auto& x) {
                     answers_.push_back(x ? "" : x.why().message);
                   })});
  }

  void undrain(const std::string& name) {
    using callback = std::function<void(const result<void>&)>;
    say(controller_,
        undrain_node{name, std::make_shared<const callback>([this](auto& x) {
                       answers_.push_back(x ? "" : x.why().message);
                     })});
  }

  void tell_progress(leaving_progress::part of, uint64_t done, uint64_t left,
                     bool is_done = false) {
    say(controller_, leaving_progress{1, of, done, left, is_done});
  }

  void wait(std::chrono::seconds x) {
    for (int i = 0; i < 4 * x.count(); ++i) {
      scheduler_.advance_time(std::chrono::milliseconds{250});
      scheduler_.run();
    }
  }

  std::string progress() const {
    auto x = context_.here->read()->drain;
    return x ? sentence(*x) : "";
  }

  using part = leaving_progress::part;

  std::shared_ptr<heard<node_leaving>> placer_
    = std::make_shared<heard<node_leaving>>();
  std::shared_ptr<heard<node_leaving, process_over>> gateway_
    = std::make_shared<heard<node_leaving, process_over>>();
  std::vector<std::string> answers_;
};

} // namespace

TEST_F(ControllerLeaving, TellsANodeToEndThatHasNothingAnyMore) {
  drain(names_[1]);
  EXPECT_EQ(placer_->of<node_leaving>().size(), 1u);
  EXPECT_TRUE(gateway_->of<node_leaving>().empty()) << "is there room?";
  EXPECT_EQ(answers_, std::vector<std::string>{""});
  tell_progress(part::experts, 0, 4);
  EXPECT_EQ(gateway_->of<node_leaving>().size(), 1u);
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
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_NE(answers_[0].find("is the first one"), std::string::npos);
  EXPECT_EQ(answers_[1], "the cluster has no node named nobody");
  EXPECT_EQ(answers_[2], "");
  EXPECT_EQ(answers_[3],
            "node " + names_[1] + " is leaving: one after the other");
}

/// Whether there is room may be known after a while.
TEST_F(ControllerLeaving, WhoAsksAgainMayWatch) {
  drain(names_[1]);
  tell_progress(part::experts, 0, 4);
  drain(names_[1]);
  EXPECT_EQ(answers_, (std::vector<std::string>{"", ""}));
  EXPECT_EQ(placer_->of<node_leaving>().size(), 1u);
  leaving_progress no{1, part::experts};
  no.why = failure{errc::refused, "there is no room"};
  say(controller_, no);
  EXPECT_EQ(progress(), "node " + names_[1] + " stays: there is no room");
}

TEST_F(ControllerLeaving, WhoIsLeavingMayBeToldToStayUntilItIsToldToEnd) {
  undrain(names_[1]);
  drain(names_[1]);
  tell_progress(part::experts, 0, 4);
  undrain(names_[1]);
  EXPECT_TRUE(placer_->of<node_leaving>().back().stays);
  EXPECT_TRUE(gateway_->of<node_leaving>().back().stays);
  EXPECT_EQ(progress(), "node " + names_[1]
                          + " stays: that it was to leave was taken back");
  drain(names_[1]);
  tell_progress(part::experts, 4, 0, true);
  tell_progress(part::requests, 0, 0);
  undrain("");
  EXPECT_EQ(answers_, (std::vector<std::string>{
                        "node " + names_[1] + " is not leaving", "", "", "",
                        "node " + names_[1]
                          + " was told to end already: it may join again"}));
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
  wait(std::chrono::seconds{61});
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

/// Another one is on its way in and has met all but who is to end.
TEST_F(ControllerLeaving, WhoDoesNotEndIsGoneAndNobodyWaitsForIt) {
  drain(names_[1]);
  tell_progress(part::experts, 0, 0, true);
  tell_progress(part::requests, 0, 0);
  ASSERT_EQ(how_many<shut_down>(), (counts_by_node{0, 1, 0}));
  suspect(2, "it was killed");
  join(2, 202);
  load(2, "hidden_size 64\n", 202);
  connect(0, 2);
  connect(2, 2, 202);
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{0, 0, 0}));
  wait(std::chrono::seconds{11});
  auto losses = news_[0]->of<node_lost>();
  ASSERT_EQ(losses.size(), 2u);
  EXPECT_EQ(losses[1].node, 1);
  EXPECT_TRUE(losses[1].has_left);
  EXPECT_EQ(progress(), "node " + names_[1] + " has left");
  EXPECT_EQ(how_many<node_back>(), (counts_by_node{1, 0, 1}));
}

TEST_F(ControllerLeaving, WhatWasSaidBeforeALossOfOthersIsSaidAgain) {
  drain(names_[1]);
  tell_progress(part::experts, 4, 0, true);
  suspect(2, "it was killed");
  tell_progress(part::requests, 0, 0); // on its way
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 0, 0}));
  lost_processes lost{{2, 102}};
  say(controller_,
      leaving_progress{1, part::requests, 0, 0, false, {}, true, lost});
  say(controller_,
      leaving_progress{1, part::experts, 4, 0, true, {}, false, lost});
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 0, 0}))
    << "nobody else has ranks";
  say(controller_,
      leaving_progress{1, part::requests, 0, 0, false, {}, false, lost});
  EXPECT_EQ(how_many<shut_down>(), (counts_by_node{0, 1, 0}));
}

// -- placements ---------------------------------------------------------------

namespace {

/// Begins with a placement that was kept, of epoch 8.
class ControllerThatGoesOn : public Controller {
protected:
  ControllerThatGoesOn() {
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano", [](node_id) {}, kept_,
      std::make_shared<const placements_of_units>(
        placements_of_units{begins_}));
    scheduler_.run();
  }

  placement_lists begins_{0, 8, {{0, 1, {{0, 0}, 1}}}};
};

} // namespace

TEST_F(ControllerThatGoesOn, WelcomesWithWhatTheClusterBeginsWith) {
  start_all();
  for (auto& x : news_) {
    ASSERT_EQ(x->of<welcome>().size(), 1u);
    ASSERT_TRUE(x->of<welcome>()[0].placed);
    EXPECT_EQ(*x->of<welcome>()[0].placed, placements_of_units{begins_});
  }
  EXPECT_EQ(news_[1]->of<view_published>()[0].members->epochs,
            std::vector<uint32_t>{8});
  auto& unit = kept_->last()->units.at(0);
  EXPECT_EQ(unit.epoch, 8u);
  EXPECT_EQ(*decode_placement(unit.placement), begins_);
}

TEST_F(ControllerThatGoesOn, KeepsEachPlacementBesideTheView) {
  start_all();
  auto next = begins_;
  next.epoch = 9;
  say(controller_,
      placement_published{std::make_shared<const placement_lists>(next)});
  auto& unit = kept_->last()->units.at(0);
  EXPECT_EQ(unit.epoch, 9u);
  EXPECT_EQ(*decode_placement(unit.placement), next);
  EXPECT_EQ(kept_->last()->view, 1u);
  suspect(1, "it was killed");
  join(1, 201);
  EXPECT_EQ(news_[1]->of<welcome>()[1].placed->at(0).epoch, 8u)
    << "it loads what its predecessor did";
  load(1, "hidden_size 64\n", 201);
  EXPECT_EQ(kept_->last()->view, 2u);
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 9u);
}

TEST_F(Controller, AClusterThatBeginsAnewKeepsNoPlacement) {
  start_all();
  EXPECT_FALSE(news_[1]->of<welcome>()[0].placed);
  EXPECT_TRUE(kept_->last()->units.at(0).placement.empty());
  kept_->is_full = true;
  placement_lists next{0, 2, {}};
  say(controller_,
      placement_published{std::make_shared<const placement_lists>(next)});
  EXPECT_TRUE(kept_->last()->units.at(0).placement.empty());
  suspect(1, "it was killed");
  EXPECT_EQ(how_many<node_lost>(), (counts_by_node{1, 1, 1}))
    << "a full disk is no reason to stop";
}
