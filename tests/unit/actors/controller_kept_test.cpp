// The state of the cluster on its way to a disk that takes its time.

#include "actors/kept_state.hpp"
#include "tests/unit/actors/controller_fixture.hpp"

using namespace troupe;

namespace {

class ControllerKept : public Controller {
protected:
  ControllerKept() {
    context_.run_writing = [this](auto fn) {
      writes_.push_back(std::move(fn));
    };
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano",
      [this](node_id n) { monitored_.push_back(n); }, kept_);
    scheduler_.run();
  }

  /// The disk has done what was out.
  void end_write() {
    ASSERT_EQ(writes_.size(), 1u) << "one at a time";
    auto job = std::move(writes_.back());
    writes_.clear();
    job();
    scheduler_.run();
  }

  void start() {
    join_all();
    load_all();
    end_write();
    connect_all();
  }

  void lose_and_come_back() {
    suspect(1, "it was killed");
    join(1, 201);
    load(1, "hidden_size 64\n", 201);
  }

  void place(uint32_t epoch) {
    say(controller_,
        placement_published{std::make_shared<const placement_lists>(
          placement_lists{0, epoch, {}})});
  }

  std::vector<std::function<void()>> writes_;
};

} // namespace

TEST_F(ControllerKept, AViewIsPublishedOnceItIsKept) {
  join_all();
  load_all();
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{0, 0, 0}));
  end_write();
  EXPECT_EQ(how_many<view_published>(), (counts_by_node{1, 1, 1}));
  EXPECT_EQ(kept_->last()->view, 1u);
}

TEST_F(ControllerKept, ALossDoesNotWaitForTheDisk) {
  start();
  lose_and_come_back();
  ASSERT_EQ(writes_.size(), 1u);
  suspect(2, "it was killed, too");
  EXPECT_EQ(how_many<node_lost>()[0], 2u);
  EXPECT_EQ(how_many<view_published>()[0], 1u);
  end_write();
  ASSERT_EQ(how_many<view_published>()[0], 2u);
  auto& view = *news_[0]->of<view_published>()[1].members;
  EXPECT_EQ(view.members[1].is, member_state::joining);
  EXPECT_EQ(view.members[2].is, member_state::absent) << "lost meanwhile";
}

TEST_F(ControllerKept, WhoIsLostMeanwhileIsAbsentAndItsSuccessorInTheNextView) {
  start();
  lose_and_come_back();
  say(controller_, node_suspected{0, 1, 201, "it was killed", 100});
  join(1, 301);
  load(1, "hidden_size 64\n", 301);
  end_write();
  auto views = news_[2]->of<view_published>();
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[1].members->members[1].is, member_state::absent);
  EXPECT_EQ(views[1].members->members[1].incarnation, 201u);
  end_write();
  views = news_[2]->of<view_published>();
  ASSERT_EQ(views.size(), 3u);
  EXPECT_EQ(views[2].members->number, 3u);
  EXPECT_EQ(views[2].members->members[1].is, member_state::joining);
  EXPECT_EQ(views[2].members->members[1].incarnation, 301u);
}

TEST_F(ControllerKept, PlacementsThatComeMeanwhileGoTogether) {
  start();
  place(2);
  ASSERT_EQ(writes_.size(), 1u);
  place(3);
  place(4);
  lose_and_come_back();
  end_write();
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 2u);
  EXPECT_EQ(kept_->last()->view, 1u);
  end_write();
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 4u);
  EXPECT_EQ(kept_->last()->view, 2u) << "and the view with them";
  EXPECT_TRUE(writes_.empty());
}

TEST_F(ControllerKept, NobodyWaitsForADiskThatTakesTooLong) {
  start();
  lose_and_come_back();
  scheduler_.advance_time(kept_state::patience);
  scheduler_.run();
  ASSERT_EQ(how_many<node_lost>(), (counts_by_node{2, 2, 2}));
  EXPECT_NE(news_[2]->of<node_lost>()[1].why.find("taken longer"),
            std::string::npos);
  join(1, 301);
  load(1, "hidden_size 64\n", 301);
  EXPECT_EQ(how_many<node_lost>()[2], 3u) << "it is still busy";
  EXPECT_EQ(how_many<view_published>()[2], 1u);
  end_write(); // after all
  EXPECT_EQ(how_many<view_published>()[2], 1u) << "nobody waits for it";
  join(1, 401);
  load(1, "hidden_size 64\n", 401);
  end_write();
  ASSERT_EQ(how_many<view_published>()[2], 2u);
  EXPECT_EQ(news_[2]->of<view_published>()[1].members->number, 4u);
  EXPECT_EQ(kept_->last()->view, 4u);
}

TEST_F(ControllerKept, AFullDiskIsOneAlsoLater) {
  start();
  kept_->is_full = true;
  lose_and_come_back();
  end_write();
  EXPECT_NE(news_[2]->of<node_lost>()[1].why.find("the disk is full"),
            std::string::npos);
  kept_->is_full = false;
  join(1, 301);
  load(1, "hidden_size 64\n", 301);
  end_write();
  EXPECT_EQ(how_many<view_published>()[2], 2u);
}

TEST_F(ControllerKept, APlacementThatCouldNotBeKeptIsTriedAgain) {
  start();
  kept_->is_full = true;
  place(2);
  end_write();
  EXPECT_TRUE(writes_.empty()) << "not at once";
  constexpr std::chrono::milliseconds look{250};
  auto pass = [this, look](std::chrono::milliseconds time) {
    for (; time.count() > 0; time -= look) {
      scheduler_.advance_time(look);
      scheduler_.run();
    }
  };
  pass(kept_state::pause);
  end_write();
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 1u);
  kept_->is_full = false;
  pass(kept_state::pause);
  end_write();
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 2u);
  pass(kept_state::pause * 2);
  EXPECT_TRUE(writes_.empty()) << "once";
}

TEST_F(ControllerKept, WhatWaitsIsKeptBeforeTheEnd) {
  start();
  place(2);
  place(3);
  say(controller_, shut_down{});
  auto is_kept = std::make_shared<bool>(false);
  say(controller_, keep_rest{std::make_shared<const std::function<void()>>(
                     [is_kept] { *is_kept = true; })});
  end_write();
  EXPECT_FALSE(*is_kept);
  end_write();
  EXPECT_TRUE(*is_kept);
  EXPECT_EQ(kept_->last()->units.at(0).epoch, 3u);
  EXPECT_TRUE(writes_.empty());
}

TEST_F(ControllerKept, AnEndWithNothingToKeepIsOneAtOnceAndAFailureIsOne) {
  start();
  auto num_ends = std::make_shared<int>(0);
  keep_rest rest{
    std::make_shared<const std::function<void()>>([num_ends] { ++*num_ends; })};
  say(controller_, rest);
  EXPECT_EQ(*num_ends, 1);
  kept_->is_full = true;
  place(2);
  say(controller_, rest);
  EXPECT_EQ(*num_ends, 1);
  end_write();
  EXPECT_EQ(*num_ends, 2);
}
