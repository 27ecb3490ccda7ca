/// Who begins as others did finds what these have left.

#include "tests/unit/runtime/batcher_fixture.hpp"

using namespace troupe;

namespace {

class BatcherPrefix : public batcher_fixture {
protected:
  BatcherPrefix() {
    remembers_ = true;
  }

  /// Runs a request to its end, by itself. Returns the rows that it took.
  uint32_t run(std::shared_ptr<const generation_request> what) {
    auto expected = token_model::alone(*what).tokens;
    batcher_->add(++last_id_, 1, std::move(what));
    std::vector<int32_t> tokens;
    uint32_t rows = 0;
    while (batcher_->num_running() + batcher_->num_waiting() > 0) {
      auto next = next_step_of(*batcher_);
      EXPECT_GT(next.num_rows(), 0u);
      rows += next.num_rows();
      for (auto& x : batcher_->end_step(0, model_.run(next))) {
        cached_ += x.event.num_cached;
        tokens.insert(tokens.end(), x.event.tokens.begin(),
                      x.event.tokens.end());
      }
    }
    EXPECT_EQ(tokens, expected);
    answer_ = tokens;
    return rows;
  }

  request_id last_id_ = 0;
  uint32_t cached_ = 0; ///< As the events say.
  std::vector<int32_t> answer_;
};

} // namespace

TEST_F(BatcherPrefix, FullBlocksOfAPromptAreComputedOnce) {
  make(4, 512, 512, 16);
  EXPECT_EQ(run(request(200, 2)), 201u);
  EXPECT_EQ(cached_, 0u);
  EXPECT_EQ(run(request(200, 2)), 201u - 3 * 64);
  EXPECT_EQ(cached_, 192u);
  EXPECT_EQ(batcher_->num_found(), 192u);
  EXPECT_EQ(batcher_->num_looked_up(), 400u);
}

/// Whatever they were made of may be in the blocks.
TEST_F(BatcherPrefix, NobodyBeginsWithWhatHadNoFiniteLogits) {
  make(4, 512, 512, 16);
  batcher_->add(++last_id_, 1, request(200, 2));
  auto result = model_.run(next_step_of(*batcher_));
  result.tokens.back() = kernels::no_token;
  auto out = batcher_->end_step(0, std::move(result));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].event.finish, finish_reason::failed);
  EXPECT_EQ(pool_->num_free(), 16u);
  EXPECT_EQ(run(request(200, 2)), 201u);
  EXPECT_EQ(cached_, 0u);
}

/// The logits of the last token are wanted.
TEST_F(BatcherPrefix, TheLastTokenIsAlwaysComputed) {
  make(4, 512, 512, 16);
  run(request(128, 1));
  EXPECT_EQ(run(request(128, 1)), 64u);
}

TEST_F(BatcherPrefix, ALaterTurnFindsWhatTheModelHasSaid) {
  make(4, 512, 512, 16);
  auto first = request(100, 100);
  run(first);
  auto second = std::make_shared<generation_request>(*first);
  second->prompt.insert(second->prompt.end(), answer_.begin(), answer_.end());
  for (int i = 0; i < 30; ++i)
    second->prompt.push_back(i % 7);
  second->segments = {{100, segment_author::given},
                      {100, segment_author::generated},
                      {30, segment_author::given}};
  second->max_tokens = 1;
  EXPECT_EQ(run(second), 230u - 3 * 64);
}

/// The same tokens in one given segment attend in multi-head form.
TEST_F(BatcherPrefix, WhatAttendsInAnotherFormIsComputed) {
  make(4, 512, 512, 16);
  auto first = request(100, 100);
  run(first);
  auto second = std::make_shared<generation_request>(*first);
  second->prompt.insert(second->prompt.end(), answer_.begin(), answer_.end());
  second->max_tokens = 1;
  EXPECT_EQ(run(second), 200u);
}

TEST_F(BatcherPrefix, TenantsFindNothingOfEachOther) {
  make(4, 512, 512, 16);
  run(request(200, 1));
  auto other = request(200, 1);
  other->cache_salt = "other";
  EXPECT_EQ(run(other), 200u);
  EXPECT_EQ(run(other), 200u - 192);
}

TEST_F(BatcherPrefix, WhoWantsScoresOfItsPromptComputesIt) {
  make(4, 512, 512, 16);
  run(request(200, 1));
  auto scored = request(200, 1);
  scored->num_prompt_scores = 1;
  EXPECT_EQ(run(scored), 200u);
}

/// Two of them, one after the other, need more than there is.
TEST_F(BatcherPrefix, IdleBlocksAreRoomForOthers) {
  make(4, 512, 512, 8);
  run(request(400, 100));
  EXPECT_EQ(cache_->num_idle(), 7u);
  auto other = request(400, 100);
  other->prompt[0] = 9;
  EXPECT_EQ(run(other), 499u);
  EXPECT_EQ(cache_->num_available(), 8u);
}

/// Blocks that are found and idle are no room as well.
TEST_F(BatcherPrefix, WhatIsFoundIsNotCountedAsFree) {
  make(4, 512, 320, 5);
  run(request(192, 1));
  ASSERT_EQ(cache_->num_idle(), 3u);
  EXPECT_EQ(run(request(192, 128)), 319u - 128);
  EXPECT_EQ(batcher_->num_preemptions(), 0u);
}

TEST_F(BatcherPrefix, SeveralAtOnceShareBlocks) {
  make(4, 512, 384, 7);
  run(request(256, 1));
  batcher_->add(100, 1, request(256, 60));
  batcher_->add(101, 1, request(256, 60));
  step();
  EXPECT_EQ(batcher_->num_running(), 2u) << "apart they would need ten blocks";
  EXPECT_EQ(cache_->num_available(), 7u - 3 - 2 * 1);
}

TEST_F(BatcherPrefix, WhoLosesItsBlocksMayFindThemAgain) {
  make(4, 512, 256, 6);
  batcher_->add(1, 1, request(64, 190));
  auto other = request(64, 190);
  other->prompt[0] = 7;
  batcher_->add(2, 1, other);
  uint64_t rows = 0;
  while (batcher_->num_running() + batcher_->num_waiting() > 0) {
    auto next = next_step_of(*batcher_);
    rows += next.num_rows();
    batcher_->end_step(0, model_.run(next));
  }
  EXPECT_GT(batcher_->num_preemptions(), 0u);
  EXPECT_GT(batcher_->num_found(), 0u);
  EXPECT_LT(rows, 2u * 253 + 190);
}

/// What a step that failed was to write is nobody's to find.
TEST_F(BatcherPrefix, AFailedStepLeavesNothing) {
  make(4, 512, 512, 16);
  batcher_->add(1, 1, request(200, 1));
  next_step_of(*batcher_);
  batcher_->fail_step(0, {errc::step_failed, "no"});
  EXPECT_EQ(cache_->num_known(), 0u);
  batcher_->add(2, 1, request(200, 1));
  next_step_of(*batcher_);
  batcher_->abandon_step(0);
  EXPECT_EQ(cache_->num_known(), 0u);
}
