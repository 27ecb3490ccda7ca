/// A rank has given the blocks of a request that runs to another one, and the
/// request stays.

#include "tests/unit/actors/hand_over_fixture.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Rank 5, whose requests may move to 6.
class Stayer : public HandOverOfBlocks {
protected:
  void run(request_id id = the_request, uint32_t num_tokens = 200,
           const std::string& salt = "") {
    auto what = std::make_shared<generation_request>(*prompt(num_tokens, salt));
    what->max_tokens = 300;
    say(scheduler_actor_, run_request{id, the_term, 0, 5, what, {}});
  }

  void move(request_id id = the_request, rank_id to = 6) {
    say(scheduler_actor_, move_request{id, 5, the_term, to});
  }

  void stay() {
    move(the_request, 5);
  }

  /// All that is wanted comes there; 0: nothing is lacking.
  void copy(uint32_t count, request_id id = the_request) {
    say(scheduler_actor_, want_blocks{5, 6, id, the_term, 9, 0, count});
    for (uint32_t i = 0; i < count; ++i) {
      frames_.sent.clear();
      scheduler_.run();
      say(scheduler_actor_, block_taken{5, {9, the_term}, i, true});
    }
  }

  void refuse(request_id id) {
    say(scheduler_actor_, want_blocks{5, 6, id, the_term, 0, 0, 0});
  }

  void end(bool is_passed_on) {
    say(scheduler_actor_,
        cancel_request{the_request, 5, the_term, is_passed_on});
    end_step();
  }

  std::string told() const {
    std::string out;
    for (auto& x : answers_->of<request_copied>())
      out += x.ok ? "copied " : "stays ";
    return out;
  }

  size_t num_offers() const {
    return far_->of<offer_blocks>().size();
  }

  size_t num_ended() const {
    return far_->of<offer_ended>().size();
  }
};

} // namespace

TEST_F(Stayer, TheOtherOneHearsThatItNeedsNoBlocks) {
  run();
  end_step();
  move();
  copy(3);
  EXPECT_EQ(told(), "copied ");
  EXPECT_EQ(num_ended(), 0u);
  stay();
  ASSERT_EQ(num_ended(), 1u);
  EXPECT_EQ(far_->of<offer_ended>()[0].rank, 6);
  EXPECT_EQ(far_->of<offer_ended>()[0].request, the_request);
  EXPECT_EQ(far_->of<offer_ended>()[0].term, the_term);
  end_step();
  EXPECT_EQ(answers_->of<tokens_ready>().size(), 2u) << "it goes on";
  move();
  EXPECT_EQ(num_offers(), 2u);
  copy(3);
  EXPECT_EQ(told(), "copied copied ");
}

TEST_F(Stayer, WhatIsBeingCopiedEnds) {
  run();
  end_step();
  stay(); // it does so anyway
  move();
  say(scheduler_actor_, want_blocks{5, 6, the_request, the_term, 9, 0, 3});
  EXPECT_EQ(told(), "");
  stay();
  EXPECT_EQ(told(), "stays ");
  EXPECT_EQ(num_ended(), 1u);
  frames_.sent.clear();
  scheduler_.run();
  EXPECT_TRUE(frames_.sent.empty());
  stay();
  EXPECT_EQ(told(), "stays ");
  EXPECT_EQ(num_ended(), 1u);
}

/// Its blocks are held there only until the request has come, or for a while.
TEST_F(Stayer, AMoveIsOfferedOnce) {
  run();
  end_step();
  move();
  copy(3);
  for (int i = 0; i < 5; ++i)
    wait(21s);
  EXPECT_EQ(num_offers(), 1u);
}

TEST_F(Stayer, WhoGoesOnElsewhereNeedsItsBlocksThere) {
  run();
  end_step();
  move();
  copy(3);
  end(true);
  EXPECT_EQ(num_ended(), 0u);
  EXPECT_EQ(num_held(), 0u);
  run();
  end_step();
  move();
  copy(0);
  end(false);
  EXPECT_EQ(num_ended(), 1u) << "nobody goes on";
  EXPECT_EQ(num_held(), 0u);
}

/// However many there were.
TEST_F(Stayer, WhoCouldNotMoveTakesNoPlace) {
  constexpr request_id most = 256;
  for (request_id id = 1; id <= most; ++id) {
    run(id, 100);
    if (id == 1)
      end_step();
    move(id);
    ASSERT_EQ(num_offers(), id);
    refuse(id);
  }
  for (request_id id = 1; id <= most; ++id) {
    move(id);
    ASSERT_EQ(num_offers(), most + id);
    copy(0, id); // it holds a place
  }
  run(most + 1, 100);
  move(most + 1);
  EXPECT_EQ(num_offers(), 2 * most) << "there are too many";
  move(most);
  EXPECT_EQ(num_offers(), 2 * most + 1) << "it has a place";
}

TEST_F(Stayer, WhoIsPreemptedStays) {
  run(1, 100, "other");
  end_step();
  run(the_request, 100);
  for (int i = 0; i < 100; ++i)
    end_step();
  move();
  say(scheduler_actor_, want_blocks{5, 6, the_request, the_term, 9, 0, 3});
  EXPECT_EQ(told(), "");
  for (int i = 0; i < 200 && count(counter::preemptions) == 0; ++i)
    end_step();
  ASSERT_EQ(count(counter::preemptions), 1u);
  EXPECT_EQ(told(), "stays ");
  EXPECT_EQ(num_ended(), 1u);
}
