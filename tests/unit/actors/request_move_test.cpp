/// A rank that runs a request gives its blocks to another one, which may go on
/// with it.

#include "tests/unit/actors/hand_over_fixture.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Rank 5, whose request may move to 6.
class Mover : public HandOverOfBlocks {
protected:
  void run(uint32_t num_tokens = 200) {
    say(scheduler_actor_,
        run_request{the_request, the_term, 0, 5, prompt(num_tokens), {}});
    end_step();
  }

  void move(uint32_t term = the_term) {
    say(scheduler_actor_, move_request{the_request, 5, term, 6});
  }

  void want(uint32_t count, uint64_t transfer = 9) {
    say(scheduler_actor_,
        want_blocks{5, 6, the_request, the_term, transfer, 0, count});
  }

  void taken(uint32_t chunk, bool goes_on = true) {
    say(scheduler_actor_, block_taken{5, {9, the_term}, chunk, goes_on});
  }

  /// All that has left has arrived: there is memory for more.
  size_t let_arrive() {
    auto out = std::exchange(frames_.sent, {}).size();
    scheduler_.run();
    return out;
  }

  /// What the gateway was told: nothing, that it is copied, or that it stays.
  std::string told() const {
    std::string out;
    for (auto& x : answers_->of<request_copied>()) {
      EXPECT_EQ(x.request, the_request);
      EXPECT_EQ(x.to, 6);
      out += x.ok ? "copied " : "stays ";
    }
    return out;
  }

  size_t num_offers() const {
    return far_->of<offer_blocks>().size();
  }
};

} // namespace

TEST_F(Mover, CopiesWhatIsFullAndGoesOnMeanwhile) {
  run();
  EXPECT_EQ(num_offers(), 0u);
  move();
  ASSERT_EQ(num_offers(), 1u);
  auto offered = far_->of<offer_blocks>()[0];
  EXPECT_EQ(offered.rank, 6);
  EXPECT_EQ(offered.of.term, the_term);
  EXPECT_EQ(offered.of.answered, std::vector<int32_t>{1});
  want(3);
  end_step();
  EXPECT_EQ(answers_->of<tokens_ready>().size(), 2u) << "it goes on";
  EXPECT_EQ(let_arrive(), 2u);
  EXPECT_EQ(let_arrive(), 1u);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(told(), "");
    taken(i);
  }
  EXPECT_EQ(told(), "copied ");
  // The gateway gives it to the other one.
  say(scheduler_actor_, cancel_request{the_request, 5, the_term});
  end_step();
  EXPECT_EQ(num_held(), 0u);
  EXPECT_EQ(told(), "copied ");
}

TEST_F(Mover, NothingIsCopiedThatIsThereOrIsNotFull) {
  run();
  move();
  want(0);
  EXPECT_EQ(told(), "copied ") << "it lacks nothing";
  say(scheduler_actor_, cancel_request{the_request, 5, the_term});
  end_step();
  run(60);
  move();
  EXPECT_EQ(told(), "copied copied ");
  EXPECT_EQ(num_offers(), 1u);
}

TEST_F(Mover, StaysIfTheOtherOneTakesNothing) {
  run();
  move();
  want(0, 0);
  EXPECT_EQ(told(), "stays ");
  move();
  want(3);
  taken(0, false);
  EXPECT_EQ(told(), "stays stays ");
  move();
  EXPECT_EQ(num_offers(), 3u) << "it may be asked again";
}

TEST_F(Mover, StaysIfTheOtherOneIsLostOrSilent) {
  run();
  move();
  want(3);
  lose(1, 101);
  EXPECT_EQ(told(), "stays ");
  move();
  wait(9s);
  EXPECT_EQ(told(), "stays ");
  wait(2s);
  EXPECT_EQ(told(), "stays stays ");
  ASSERT_FALSE(far_->of<offer_ended>().empty());
  EXPECT_EQ(far_->of<offer_ended>().back().request, the_request);
}

TEST_F(Mover, SaysSoIfTheRequestIsNotHereOrEnds) {
  move();
  EXPECT_EQ(told(), "stays ");
  run();
  move(the_term + 1);
  EXPECT_EQ(told(), "stays stays ");
  EXPECT_EQ(num_offers(), 0u);
  move();
  want(3);
  for (int i = 0; i < 3; ++i)
    end_step(); // that was all
  EXPECT_EQ(answers_->of<tokens_ready>().back().event->finish,
            finish_reason::length);
  EXPECT_EQ(told(), "stays stays stays ");
  EXPECT_EQ(far_->of<offer_ended>().size(), 1u);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Mover, OneMoveOfARequestAtATime) {
  run();
  move();
  move();
  EXPECT_EQ(told(), "stays ") << "the second one";
  want(3);
  let_arrive();
  for (uint32_t i = 0; i < 3; ++i)
    taken(i);
  EXPECT_EQ(told(), "stays copied ");
}
