#include "tests/unit/actors/courier_fixture.hpp"

using namespace troupe;

namespace {

using BlockCourier = courier_fixture;

} // namespace

TEST_F(BlockCourier, WaitsForWhatTheDiskHasAndComputesTheRest) {
  request(1);
  EXPECT_EQ(num_steps(), 0u);
  EXPECT_EQ(last_fetch().chain->size(), 3u);
  EXPECT_EQ(count(counter::waiting), 0u); // told with the next step
  find(2);
  EXPECT_EQ(num_steps(), 0u);
  bring(0);
  bring(1);
  ASSERT_EQ(keeps_->of<land_block>().size(), 2u);
  land(1);
  EXPECT_EQ(num_steps(), 0u);
  land(0);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u - 128);
  EXPECT_EQ(last_step()->rows.sequences[0].first_position, 128u);
  end_step();
  auto told = answers_->of<tokens_ready>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].event->num_cached, 128u);
}

TEST_F(BlockCourier, GoesOnAtOnceWhereTheDiskHasNothing) {
  request(1);
  find(0);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u);
}

TEST_F(BlockCourier, AsksForNothingThatIsTooShort) {
  request(1, 64);
  EXPECT_TRUE(keeps_->all.empty());
  EXPECT_EQ(num_steps(), 1u);
}

TEST_F(BlockCourier, WhatBecameKnownIsKeptAndHeldUntilItIsRead) {
  request(1);
  find(0);
  end_step();
  auto kept = keeps_->of<keep_blocks>();
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].blocks.size(), 3u);
  EXPECT_EQ(kept[0].blocks[2].what, last_fetch().chain->at(2));
  say(scheduler_actor_, cancel_request{1, 5, 7});
  end_step();
  EXPECT_EQ(rank_.cache->num_available(), num_blocks - 3);
  say(scheduler_actor_,
      blocks_let_go{{kept[0].blocks[0].block, kept[0].blocks[1].block,
                     kept[0].blocks[2].block}});
  EXPECT_EQ(rank_.cache->num_available(), num_blocks);
  EXPECT_EQ(rank_.cache->num_idle(), 3u);
}

TEST_F(BlockCourier, WhatCameFromTheDiskIsNotWrittenThereAgain) {
  request(1);
  find(2);
  for (uint32_t i : {0u, 1u}) {
    bring(i);
    land(i);
  }
  end_step();
  auto kept = keeps_->of<keep_blocks>();
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].blocks.size(), 1u);
  EXPECT_EQ(kept[0].blocks[0].what.depth, 2u);
}

/// It may have gone from memory meanwhile, and goes no sooner than others.
TEST_F(BlockCourier, WhatIsFoundInTheCacheIsKeptOnceMore) {
  request(1);
  find(0);
  end_step();
  auto chain = *last_fetch().chain;
  keeps_->all.clear();
  request(2); // all of it is here
  auto kept = keeps_->of<keep_blocks>();
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].blocks.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i)
    EXPECT_EQ(kept[0].blocks[i].what, chain[i]);
  keeps_->all.clear();
  request(3, 260); // this and one more
  ASSERT_EQ(keeps_->of<fetch_chain>().size(), 1u);
  ASSERT_EQ(keeps_->of<keep_blocks>().size(), 1u);
  EXPECT_EQ(keeps_->of<keep_blocks>()[0].blocks.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<keep_blocks>(keeps_->all[0]))
    << "what the rest stands on comes first";
}

/// Memory had no room for it when it was read; the disk is asked in vain.
TEST_F(BlockCourier, WhatCameFromTheDiskAndDidNotStayIsKept) {
  request(1);
  find(2);
  for (uint32_t i : {0u, 1u}) {
    bring(i, true, i == 0);
    land(i);
  }
  auto kept = keeps_->of<keep_blocks>();
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].blocks.size(), 1u);
  EXPECT_EQ(kept[0].blocks[0].what, last_fetch().chain->at(1));
}

TEST_F(BlockCourier, ABlockThatDoesNotComeIsComputed) {
  request(1);
  find(3);
  bring(0);
  bring(1, false);
  EXPECT_FALSE(*last_fetch().is_wanted == false) << "the first still comes";
  bring(2);
  land(0);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u - 64);
}

TEST_F(BlockCourier, WhoHasWaitedLongEnoughGoesOnWithWhatCame) {
  request(1);
  find(3);
  bring(0);
  land(0);
  bring(1);
  say(scheduler_actor_, fetch_overdue{last_fetch().fetch});
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u - 64);
  EXPECT_FALSE(*last_fetch().is_wanted);
  // What comes late is dropped.
  land(1);
  bring(2);
  end_step();
  say(scheduler_actor_, cancel_request{1, 5, 7});
  end_step();
  auto kept = keeps_->of<keep_blocks>();
  for (auto& x : kept)
    for (auto& y : x.blocks)
      say(scheduler_actor_, blocks_let_go{{y.block}});
  EXPECT_EQ(rank_.cache->num_available(), num_blocks);
}

TEST_F(BlockCourier, TheClockSaysWhenThatIs) {
  request(1);
  find(3);
  scheduler_.advance_time(std::chrono::seconds{4});
  scheduler_.run();
  EXPECT_EQ(num_steps(), 0u);
  scheduler_.advance_time(std::chrono::seconds{2});
  scheduler_.run();
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u);
}

TEST_F(BlockCourier, ACancelFreesWhatWasHeld) {
  request(1);
  find(3);
  bring(0);
  land(0);
  bring(1);
  EXPECT_EQ(rank_.cache->num_available(), num_blocks - 2);
  say(scheduler_actor_, cancel_request{1, 5, 6});
  EXPECT_TRUE(answers_->all.empty()) << "another term is not meant";
  say(scheduler_actor_, cancel_request{1, 5, 7});
  auto told = answers_->of<tokens_ready>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].event->cause->code, errc::cancelled);
  EXPECT_EQ(rank_.cache->num_available(), num_blocks - 1)
    << "but for the block that is written to";
  land(1);
  bring(2, false);
  EXPECT_EQ(rank_.cache->num_available(), num_blocks);
  EXPECT_EQ(num_steps(), 0u);
  say(scheduler_actor_, fetch_overdue{last_fetch().fetch}); // late
  request(2);
  EXPECT_EQ(last_fetch().chain->size(), 2u) << "the first block came";
}

TEST_F(BlockCourier, OthersRunMeanwhile) {
  request(1);
  request(2, 30);
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 30u);
  EXPECT_EQ(count(counter::waiting), 1u);
  find(1);
  bring(0);
  land(0);
  end_step();
  EXPECT_EQ(last_step()->rows.num_rows(), 1u + 200 - 64);
}

/// Whoever begins with it would fail as well, in every process to come.
TEST_F(BlockCourier, WhatHadNoFiniteLogitsIsToBeDropped) {
  request(1);
  find(2);
  for (uint32_t i : {0u, 1u}) {
    bring(i);
    land(i);
  }
  auto chain = *last_fetch().chain;
  end_step(kernels::no_token);
  EXPECT_TRUE(keeps_->of<keep_blocks>().empty());
  auto dropped = keeps_->of<drop_blocks>();
  ASSERT_EQ(dropped.size(), 1u);
  EXPECT_EQ(dropped[0].keys,
            (std::vector<kv_key>{chain[0].key, chain[1].key, chain[2].key}));
}

TEST_F(BlockCourier, TheSaltIsPartOfWhatIsAskedFor) {
  request(1, 200, "a");
  auto a = last_fetch().chain->at(0).key;
  request(2, 200, "b");
  EXPECT_NE(last_fetch().chain->at(0).key, a);
}

TEST_F(BlockCourier, WhoWantsTheSameDoesNotFetchItAgain) {
  request(1);
  request(2);
  request(3, 150); // of which two blocks are the same
  request(4, 200, "b");
  auto asked = keeps_->of<fetch_chain>();
  ASSERT_EQ(asked.size(), 2u);
  auto fetch = asked[0].fetch;
  say(scheduler_actor_, chain_found{asked[1].fetch, 0});
  EXPECT_EQ(num_steps(), 1u) << "the fourth alone";
  end_step();
  say(scheduler_actor_, chain_found{fetch, 3});
  for (uint32_t i : {0u, 1u, 2u}) {
    say(scheduler_actor_, block_fetched{fetch, i, buffers_->take(), true});
    say(scheduler_actor_, block_landed{fetch, i, true});
  }
  EXPECT_EQ(keeps_->of<fetch_chain>().size(), 2u) << "all is here";
  for (size_t n = 0; n < num_steps();) {
    n = num_steps();
    end_step();
  }
  std::map<request_id, uint32_t> cached;
  for (auto& x : answers_->of<tokens_ready>())
    if (x.event->first_position == 0)
      cached[x.request] = x.event->num_cached;
  EXPECT_EQ(cached, (std::map<request_id, uint32_t>{
                      {1, 192}, {2, 192}, {3, 128}, {4, 0}}));
}

TEST_F(BlockCourier, WhoFollowedLooksForItsOwnRest) {
  request(1, 130); // two blocks
  request(2, 260); // the same, and two more
  ASSERT_EQ(keeps_->of<fetch_chain>().size(), 1u);
  find(2);
  bring(0);
  bring(1);
  land(0);
  land(1);
  ASSERT_EQ(keeps_->of<fetch_chain>().size(), 2u);
  EXPECT_EQ(last_fetch().chain->size(), 2u);
  EXPECT_EQ(last_fetch().chain->at(0).depth, 2u);
  find(0);
  end_step();
  ASSERT_EQ(last_step()->rows.sequences.size(), 2u);
  EXPECT_EQ(last_step()->rows.num_rows(), 1u + 260 - 128);
}

TEST_F(BlockCourier, NobodyWaitsForASlowDiskTwice) {
  request(1);
  request(2);
  find(3);
  say(scheduler_actor_, fetch_overdue{last_fetch().fetch});
  EXPECT_EQ(keeps_->of<fetch_chain>().size(), 1u);
  EXPECT_EQ(num_steps(), 1u);
  end_step();
  EXPECT_EQ(last_step()->rows.sequences.size(), 2u);
}

/// What has come is in memory for whoever arrives.
TEST_F(BlockCourier, WhoComesLateFollowsForTheRest) {
  request(1, 260); // four blocks
  find(4);
  bring(0);
  land(0);
  request(2, 260);
  EXPECT_EQ(keeps_->of<fetch_chain>().size(), 1u);
  for (uint32_t i : {1u, 2u, 3u}) {
    bring(i);
    land(i);
  }
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.sequences[0].first_position, 256u);
  end_step();
  EXPECT_EQ(keeps_->of<fetch_chain>().size(), 1u) << "all is here";
  ASSERT_EQ(last_step()->rows.sequences.size(), 2u);
  EXPECT_EQ(last_step()->rows.num_rows(), 1u + 260 - 256);
}

TEST_F(BlockCourier, WhoseLeaderIsGoneLooksForItsOwnRest) {
  request(1, 130); // two blocks
  request(2, 260); // the same, and two more
  say(scheduler_actor_, cancel_request{1, 5, 7});
  find(2);
  for (uint32_t i : {0u, 1u}) {
    bring(i);
    land(i);
  }
  ASSERT_EQ(keeps_->of<fetch_chain>().size(), 2u);
  EXPECT_EQ(last_fetch().chain->at(0).depth, 2u);
  EXPECT_EQ(num_steps(), 0u);
}

TEST_F(BlockCourier, AFetchGoesOnForThoseWhoFollow) {
  request(1);
  request(2);
  request(3);
  say(scheduler_actor_, cancel_request{1, 5, 7});
  say(scheduler_actor_, cancel_request{3, 5, 7});
  EXPECT_EQ(answers_->of<tokens_ready>().size(), 2u);
  EXPECT_TRUE(*last_fetch().is_wanted);
  find(3);
  for (uint32_t i : {0u, 1u, 2u}) {
    bring(i);
    land(i);
  }
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 200u - 192);
}
