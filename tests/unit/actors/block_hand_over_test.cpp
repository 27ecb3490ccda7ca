/// Blocks go with a request from the rank that computes them to the one that
/// goes on: each end alone, the other one is the test.

#include "tests/unit/actors/hand_over_fixture.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Rank 5 goes on with what 6 computes.
class Taker : public HandOverOfBlocks {
protected:
  void offer(uint32_t num_tokens = 200, uint32_t term = the_term,
             const std::vector<int32_t>& answered = {}) {
    auto what = std::make_shared<generation_request>(*prompt(num_tokens));
    what->max_tokens = 100;
    run_request of{the_request, term, 0, 6, what, answered, rank_id{5}};
    say(scheduler_actor_, offer_blocks{5, 6, of});
  }

  /// The request comes.
  void hand_over(uint32_t num_tokens = 200, uint32_t term = the_term + 1) {
    say(scheduler_actor_,
        run_request{the_request, term, 0, 5, prompt(num_tokens), {1}});
  }

  want_blocks wanted() const {
    auto all = far_->of<want_blocks>();
    return all.empty() ? want_blocks{} : all.back();
  }

  /// Bytes of a chunk, all of them or some.
  void bring(uint32_t chunk, uint64_t from = 0, uint64_t count = block_bytes,
             uint32_t generation = the_term) {
    auto bytes = std::make_shared<std::vector<std::byte>>(count);
    std::ranges::fill(*bytes, std::byte(chunk + 1));
    say(scheduler_actor_, piece_came{101,
                                     {wanted().transfer, generation},
                                     chunk * block_bytes + from,
                                     {bytes, *bytes}});
  }

  /// Of one form of attention: the answer's has another one.
  uint32_t rows_of_last_step() const {
    return last_step()->rows.num_rows();
  }
};

} // namespace

// -- who gives ----------------------------------------------------------------

TEST_F(Giver, SendsWhatIsWantedOnceItIsComputed) {
  run();
  auto offers = far_->of<offer_blocks>();
  ASSERT_EQ(offers.size(), 1u);
  EXPECT_EQ(offers[0].rank, 6);
  EXPECT_EQ(offers[0].from, 5);
  EXPECT_EQ(offers[0].of.request, the_request);
  want(1, 2);
  EXPECT_TRUE(frames_.sent.empty());
  end_step();
  ASSERT_EQ(frames_.sent.size(), 2u);
  for (uint64_t i = 0; i < 2; ++i) {
    auto& [header, bytes] = frames_.sent[i];
    EXPECT_EQ(header.kind, frame_class::bulk);
    EXPECT_EQ(header.destination, 101u);
    EXPECT_EQ(header.id, 9u);
    EXPECT_EQ(header.step, the_term);
    EXPECT_EQ(header.first, i * block_bytes);
    EXPECT_EQ(bytes.bytes().size(), block_bytes);
  }
  EXPECT_EQ(answers_->of<tokens_ready>().size(), 1u);
  EXPECT_EQ(num_steps(), 1u) << "the request is not its own any more";
  EXPECT_EQ(num_held(), 3u);
  taken(0);
  taken(1);
  EXPECT_EQ(num_held(), 0u);
  EXPECT_TRUE(far_->of<offer_ended>().empty());
}

TEST_F(Giver, SendsWhatIsWantedLaterThanItWasComputed) {
  run();
  end_step();
  EXPECT_TRUE(frames_.sent.empty());
  want(0, 3);
  EXPECT_EQ(frames_.sent.size(), 2u) << "there is memory for so many";
  frames_.sent.clear(); // and they have left
  EXPECT_EQ(frames_.sent.size(), 0u);
  scheduler_.run();
  ASSERT_EQ(frames_.sent.size(), 1u);
  EXPECT_EQ(frames_.sent[0].header.first, 2 * block_bytes);
}

TEST_F(Giver, RepeatsItsOfferWhileThePromptWaits) {
  run();
  wait(19s);
  EXPECT_EQ(far_->of<offer_blocks>().size(), 1u);
  wait(2s);
  EXPECT_EQ(far_->of<offer_blocks>().size(), 2u);
  want(0, 3);
  end_step();
  wait(9s);
  wait(21s);
  EXPECT_EQ(far_->of<offer_blocks>().size(), 2u) << "it is computed";
}

TEST_F(Giver, OffersNothingThatIsTooShort) {
  run(63);
  EXPECT_TRUE(far_->all.empty());
  end_step();
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, GivesNothingThatItHasNotOffered) {
  run();
  want(0, 4);
  want(3, 1);
  say(scheduler_actor_, want_blocks{5, 4, the_request, the_term, 9, 0, 1});
  say(scheduler_actor_, want_blocks{5, 6, the_request, 8, 9, 0, 1});
  say(scheduler_actor_, want_blocks{5, 6, 99, the_term, 9, 0, 1});
  end_step();
  EXPECT_TRUE(frames_.sent.empty());
}

TEST_F(Giver, HoldsNothingIfNothingIsWanted) {
  run();
  end_step();
  EXPECT_EQ(num_held(), 3u);
  want(0, 0);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, SaysSoIfTheRequestEnds) {
  run();
  say(scheduler_actor_, cancel_request{the_request, 5, the_term});
  auto ends = far_->of<offer_ended>();
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].rank, 6);
  EXPECT_EQ(ends[0].request, the_request);
  EXPECT_EQ(ends[0].term, the_term);
  want(0, 3);
  end_step();
  EXPECT_TRUE(frames_.sent.empty());
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, SaysSoIfTheRequestEndsBehindItsLastBlock) {
  // Another one has left the block.
  say(scheduler_actor_, run_request{99, 1, 0, 5, prompt(100), {}});
  end_step();
  say(scheduler_actor_, cancel_request{99, 5, 1});
  end_step();
  run(100);
  want(0, 1);
  EXPECT_EQ(frames_.sent.size(), 1u);
  taken(0);
  EXPECT_TRUE(far_->of<offer_ended>().empty());
  say(scheduler_actor_, cancel_request{the_request, 5, the_term});
  ASSERT_EQ(far_->of<offer_ended>().size(), 1u);
  EXPECT_EQ(far_->of<offer_ended>()[0].request, the_request);
  end_step();
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, HoldsNothingForWhoDoesNotAnswer) {
  run();
  end_step();
  want(0, 3);
  EXPECT_EQ(num_held(), 3u);
  wait(9s);
  EXPECT_EQ(num_held(), 3u);
  wait(2s);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, HoldsNothingForWhoNeverAsks) {
  run();
  end_step();
  want(0, 9); // that makes no sense
  wait(11s);
  want(0, 3);
  EXPECT_TRUE(frames_.sent.empty());
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, HoldsNothingForALostNodeOrWhoWantsNoMore) {
  run();
  end_step();
  want(0, 3);
  lose(1, 99); // a process before that one
  EXPECT_EQ(num_held(), 3u);
  lose(1, 101);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Giver, StopsIfNothingMoreIsWanted) {
  run();
  end_step();
  want(0, 3);
  taken(0, false);
  EXPECT_EQ(num_held(), 0u);
  auto before = frames_.sent.size();
  frames_.sent.clear();
  scheduler_.run();
  EXPECT_EQ(before, 2u);
  EXPECT_TRUE(frames_.sent.empty());
}

TEST_F(Giver, WhoWaitsForRoomBeginsOnceBlocksAreGiven) {
  run(440);
  end_step();
  EXPECT_EQ(num_held(), 6u);
  say(scheduler_actor_, run_request{99, 1, 0, 5, prompt(300, "other"), {}});
  EXPECT_EQ(num_steps(), 1u);
  want(0, 6);
  for (uint32_t i = 0; i < 6; ++i) {
    frames_.sent.clear();
    scheduler_.run();
    EXPECT_EQ(num_steps(), 1u);
    taken(i);
  }
  EXPECT_EQ(num_held(), 5u);
  EXPECT_EQ(num_steps(), 2u);
}

// -- who takes ----------------------------------------------------------------

TEST_F(Taker, BeginsBehindWhatHasCome) {
  offer();
  EXPECT_EQ(wanted().rank, 6);
  EXPECT_EQ(wanted().by, 5);
  EXPECT_EQ(wanted().first, 0u);
  EXPECT_EQ(wanted().count, 3u);
  for (uint32_t i = 0; i < 3; ++i)
    bring(i);
  auto taken = far_->of<block_taken>();
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[2].chunk, 2u);
  EXPECT_TRUE(taken[2].goes_on);
  EXPECT_EQ(num_held(), 3u) << "for the request";
  hand_over();
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(rows_of_last_step(), 200u - 192);
  EXPECT_EQ(last_step()->rows.sequences[0].first_position, 192u);
  auto first = rank_.pool->block(last_step()->rows.sequences[0].blocks->at(1));
  std::vector<std::byte> bytes(block_bytes);
  rank_.handing->enqueue(kernels::copy_out{first, bytes.data(), nullptr});
  EXPECT_EQ(bytes.front(), std::byte{2});
  EXPECT_EQ(bytes.back(), std::byte{2});
  EXPECT_EQ(count(counter::handed_blocks), 3u);
  EXPECT_EQ(count(counter::handed_bytes), 3 * block_bytes);
  EXPECT_EQ(count(counter::handed_late), 0u);
}

/// Nobody else of its node may have it.
TEST_F(Taker, WhatHasComeIsKept) {
  auto kept = std::make_shared<heard<keep_blocks>>();
  context_.here->update(
    [&](cast_list& list) { list.keeper = spawn_listener<keeper>(kept); });
  rank_.cache->keep_keys(identity_of("model"));
  offer();
  for (uint32_t i = 0; i < 3; ++i)
    bring(i);
  std::vector<uint32_t> depths;
  for (auto& msg : kept->of<keep_blocks>())
    for (auto& x : msg.blocks) {
      depths.push_back(x.what.depth);
      say(scheduler_actor_, blocks_let_go{{x.block}});
    }
  EXPECT_EQ(depths, (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(num_held(), 3u) << "for the request";
}

TEST_F(Taker, TakesABlockInPieces) {
  offer(100);
  EXPECT_EQ(wanted().count, 1u);
  bring(0, 0, 512);
  bring(0, 768, 256);               // not the next one
  bring(0, 512, 512, the_term + 1); // of another attempt
  EXPECT_TRUE(far_->of<block_taken>().empty());
  bring(0, 512, 512);
  EXPECT_EQ(far_->of<block_taken>().size(), 1u);
  hand_over(100);
  EXPECT_EQ(rows_of_last_step(), 101u - 64);
}

TEST_F(Taker, ARequestWaitsForBlocksOnTheirWay) {
  offer();
  bring(1);
  bring(2, 0, 512);
  hand_over();
  EXPECT_EQ(num_steps(), 0u);
  scheduler_.advance_time(3ms);
  bring(0);
  EXPECT_EQ(num_steps(), 0u);
  scheduler_.advance_time(4ms);
  bring(2, 512, 512);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(rows_of_last_step(), 200u - 192);
  EXPECT_EQ(count(counter::handed_early_bytes), block_bytes + 512);
  EXPECT_EQ(count(counter::handed_wait_us), 7000u);
}

TEST_F(Taker, ButNotForLong) {
  offer();
  bring(0);
  hand_over();
  EXPECT_EQ(num_steps(), 0u);
  wait(1s);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(rows_of_last_step(), 200u - 64);
  EXPECT_FALSE(far_->of<block_taken>().back().goes_on);
  bring(1);
  EXPECT_EQ(count(counter::handed_late), 1u);
  EXPECT_EQ(count(counter::handed_blocks), 1u);
}

TEST_F(Taker, AsksOnlyForWhatItLacks) {
  offer(140);
  bring(0);
  bring(1);
  hand_over(140);
  EXPECT_EQ(rows_of_last_step(), 140u - 128);
  say(scheduler_actor_, cancel_request{the_request, 5, the_term + 1});
  end_step();
  offer(200, the_term + 2);
  EXPECT_EQ(wanted().first, 2u);
  EXPECT_EQ(wanted().count, 1u);
}

TEST_F(Taker, SaysSoIfItLacksNothing) {
  offer(100);
  bring(0);
  hand_over(100);
  for (int i = 0; i < 3; ++i)
    end_step();
  offer(100, the_term + 2);
  EXPECT_EQ(far_->of<want_blocks>().size(), 2u);
  EXPECT_EQ(wanted().count, 0u);
  EXPECT_EQ(num_held(), 1u) << "for the request";
  hand_over(100, the_term + 3);
  EXPECT_EQ(rows_of_last_step(), 101u - 64);
}

TEST_F(Taker, WithoutRoomItComputes) {
  say(scheduler_actor_, run_request{1, 1, 0, 5, prompt(440, "other"), {}});
  offer();
  EXPECT_EQ(wanted().count, 3u);
  bring(0);
  auto taken = far_->of<block_taken>();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_FALSE(taken[0].goes_on);
  say(scheduler_actor_, cancel_request{1, 5, 1});
  end_step();
  hand_over();
  EXPECT_EQ(rows_of_last_step(), 200u);
}

TEST_F(Taker, NobodyWaitsForALostNode) {
  offer();
  bring(0);
  hand_over();
  lose(1, 99);
  EXPECT_EQ(num_steps(), 0u);
  lose(1, 101);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(rows_of_last_step(), 200u - 64);
}

TEST_F(Taker, HoldsNothingForARequestThatDoesNotCome) {
  offer();
  bring(0);
  bring(1, 0, 512);
  EXPECT_EQ(num_held(), 2u);
  say(scheduler_actor_, offer_ended{5, the_request, the_term});
  EXPECT_EQ(num_held(), 0u);
  offer(200, the_term + 1);
  EXPECT_EQ(num_held(), 1u) << "what it knows";
  say(scheduler_actor_, cancel_request{the_request, 5, the_term + 1});
  EXPECT_EQ(num_held(), 0u);
  offer(200, the_term + 2);
  wait(59s);
  offer(200, the_term + 2); // again
  wait(59s);
  EXPECT_EQ(num_held(), 1u);
  wait(2s);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Taker, AnOfferThatComesBehindItsRequestHoldsNothing) {
  hand_over();
  end_step();
  say(scheduler_actor_, cancel_request{the_request, 5, the_term + 1});
  end_step();
  offer();
  EXPECT_EQ(wanted().request, the_request);
  EXPECT_EQ(wanted().count, 0u);
  EXPECT_EQ(num_held(), 0u);
}

TEST_F(Taker, ACancelEndsTheWait) {
  offer();
  bring(0);
  hand_over();
  say(scheduler_actor_, cancel_request{the_request, 5, the_term + 1});
  auto told = answers_->of<tokens_ready>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].term, the_term + 1);
  EXPECT_EQ(told[0].event->cause->code, errc::cancelled);
  EXPECT_EQ(num_held(), 0u);
  EXPECT_EQ(num_steps(), 0u);
}

TEST_F(Taker, AnotherAttemptTakesThePlaceOfTheFirst) {
  offer();
  bring(0);
  auto first = wanted().transfer;
  offer(200, the_term + 1);
  EXPECT_NE(wanted().transfer, first);
  EXPECT_EQ(wanted().first, 1u) << "one has come";
  EXPECT_EQ(num_held(), 1u);
}

TEST_F(Taker, AsksForWhatIsOfferedBeyondWhatItHas) {
  offer();
  for (uint32_t i = 0; i < 3; ++i)
    bring(i);
  offer(); // again
  EXPECT_EQ(far_->of<want_blocks>().size(), 1u);
  auto first = wanted().transfer;
  offer(200, the_term, std::vector<int32_t>(60, 1));
  ASSERT_EQ(far_->of<want_blocks>().size(), 2u) << "it has gone on since";
  EXPECT_NE(wanted().transfer, first);
  EXPECT_EQ(wanted().first, 3u);
  EXPECT_EQ(wanted().count, 1u);
  EXPECT_EQ(num_held(), 3u);
  offer(200, the_term, std::vector<int32_t>(61, 1));
  EXPECT_EQ(far_->of<want_blocks>().size(), 2u) << "the other is to come still";
}
