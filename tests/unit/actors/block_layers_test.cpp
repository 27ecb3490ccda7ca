/// The blocks that a step fills go to the rank that goes on while it runs,
/// layer by layer; never their last bytes.

#include "tests/unit/actors/hand_over_fixture.hpp"
#include "tests/unit/actors/held_stream.hpp"

using namespace troupe;

namespace {

/// A model of one layer: what of a block leaves before its step has ended, and
/// what behind it.
constexpr uint64_t rest = block_bytes / 64;
constexpr uint64_t early = block_bytes - rest;

class LayersGiver : public Giver {
protected:
  using places_of = std::vector<std::pair<uint64_t, uint64_t>>;

  void say_written() {
    say(scheduler_actor_, layers_written{0, 1});
  }

  void abandon_step() {
    say(scheduler_actor_,
        step_ended{0, nullptr, failure{errc::peer_lost, "b"}, true});
  }

  /// Where what was sent begins, and its bytes.
  places_of places() const {
    places_of out;
    for (auto& x : frames_.sent)
      out.emplace_back(x.header.first, x.payload.bytes().size());
    return out;
  }

  void hold_copies() {
    auto held = std::make_unique<held_stream>(std::move(rank_.handing));
    copies_ = held.get();
    rank_.handing = std::move(held);
  }

  /// Of those that are under way.
  void advance_copies() {
    for (auto n = copies_->num_held(); n > 0; --n)
      copies_->advance();
    scheduler_.run();
  }

  held_stream* copies_ = nullptr;
};

} // namespace

/// All but their last bytes.
TEST_F(LayersGiver, GivesWhatIsWrittenWhileTheStepRuns) {
  run();
  want(0, 3);
  EXPECT_TRUE(steps_->of<run_step>().back().tells_layers);
  EXPECT_TRUE(frames_.sent.empty());
  say_written();
  EXPECT_EQ(places(), (places_of{{0, early}, {block_bytes, early}}))
    << "there is memory for so many";
  say_written(); // it is known
  frames_.sent.clear();
  scheduler_.run();
  EXPECT_EQ(places(), (places_of{{2 * block_bytes, early}}));
  frames_.sent.clear();
  end_step();
  scheduler_.run();
  EXPECT_EQ(places(), (places_of{{early, rest}, {block_bytes + early, rest}}));
  frames_.sent.clear();
  scheduler_.run();
  EXPECT_EQ(places(), (places_of{{2 * block_bytes + early, rest}}));
  EXPECT_EQ(num_held(), 3u);
  for (uint32_t i = 0; i < 3; ++i)
    taken(i);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(LayersGiver, GivesThemToWhoAsksLater) {
  run(130);
  say_written();
  EXPECT_TRUE(frames_.sent.empty());
  want(1, 1);
  EXPECT_EQ(places(), (places_of{{0, early}}));
}

TEST_F(LayersGiver, NobodyHearsOfLayersWhereNothingIsFilled) {
  run(60);
  EXPECT_FALSE(steps_->of<run_step>().back().tells_layers);
  say(scheduler_actor_, run_request{4, 1, 0, 5, prompt(100), {}});
  EXPECT_FALSE(steps_->of<run_step>().back().tells_layers);
}

/// What has left stays as it is; nothing is written to what is being read.
TEST_F(LayersGiver, AStepThatBeginsAgainWritesBehindWhoReads) {
  hold_copies();
  run();
  want(0, 3);
  EXPECT_FALSE(steps_->of<run_step>().back().behind.impl());
  say_written();
  abandon_step();
  ASSERT_EQ(num_steps(), 2u);
  EXPECT_TRUE(steps_->of<run_step>().back().behind.impl());
  advance_copies();
  EXPECT_EQ(frames_.sent.size(), 2u);
  frames_.sent.clear();
  scheduler_.run();
  EXPECT_EQ(copies_->num_held(), 0u) << "the third has nothing to be read";
  say_written();
  advance_copies();
  EXPECT_EQ(places(), (places_of{{2 * block_bytes, early}}));
  frames_.sent.clear();
  end_step();
  advance_copies();
  EXPECT_EQ(places(), (places_of{{early, rest}, {block_bytes + early, rest}}));
}

TEST_F(LayersGiver, WhatIsReadIsHeldWhoeverGoes) {
  hold_copies();
  run();
  want(0, 3);
  say_written();
  ASSERT_EQ(copies_->num_held(), 2u);
  say(scheduler_actor_, cancel_request{the_request, 5, the_term});
  abandon_step();
  EXPECT_EQ(num_held(), 2u);
  advance_copies();
  EXPECT_EQ(num_held(), 0u);
  EXPECT_TRUE(frames_.sent.empty()) << "nobody is to have it";
}

TEST_F(LayersGiver, ABlockOfNoUseIsNeverWhole) {
  run();
  want(0, 2);
  say_written();
  EXPECT_EQ(frames_.sent.size(), 2u);
  frames_.sent.clear();
  end_step(kernels::no_token);
  scheduler_.run();
  EXPECT_TRUE(frames_.sent.empty());
  EXPECT_EQ(num_held(), 0u);
}
