/// Who gets blocks of the cache, who waits for them, who gives them back.

#include "tests/unit/runtime/batcher_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>

using namespace troupe;

namespace {

using numbers = std::vector<uint32_t>;

class BatcherBlocks : public batcher_fixture {
protected:
  /// Two requests for which there are blocks at first, but not to their ends:
  /// 64 tokens of prompt, 190 of answer, 6 blocks. After 129 steps all blocks
  /// are full.
  void fill() {
    make(4, 512, 256, 6);
    batcher_->add(1, 1, request(64, 190));
    batcher_->add(2, 1, request(64, 190));
    for (int i = 0; i < 129; ++i)
      ASSERT_EQ(step().size(), 2u);
    ASSERT_EQ(pool_->num_free(), 0u);
  }

  void run_until_one_ends() {
    while (step().at(0).event.finish == finish_reason::none)
      ASSERT_GT(batcher_->num_running(), 0u);
  }
};

} // namespace

TEST_F(BatcherBlocks, APromptWaitsUntilAllItsBlocksCanBeHad) {
  make(8, 512, 4096, 64);
  batcher_->add(1, 1, request(1500, 1200));
  uint64_t num_rows = 0;
  for (uint32_t i = 0; i < 3; ++i)
    end(next_step_of(*batcher_));
  batcher_->add(2, 1, request(3000, 2));
  while (batcher_->num_running() > 0 || batcher_->num_waiting() > 0) {
    auto rows = next_step_of(*batcher_);
    num_rows += rows.num_rows();
    ASSERT_LE(num_rows, 1199u + 3001u) << "rows are computed again";
    end(rows);
  }
  EXPECT_EQ(num_rows, 1199u + 3001u);
  EXPECT_EQ(batcher_->num_preemptions(), 0u);
}

TEST_F(BatcherBlocks, APromptIsLetInBesideOthersWithItsBlocksAtOnce) {
  make(8, 512, 4096, 64);
  batcher_->add(1, 1, request(1500, 1200));
  for (uint32_t i = 0; i < 3; ++i)
    end(next_step_of(*batcher_));
  batcher_->add(2, 1, request(2000, 2));
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{1, 511}));
  EXPECT_EQ(pool_->num_free(), 64u - 24u - 32u);
}

/// A prompt in small pieces takes many steps, in each of which the other one
/// writes a token: 192 rows of 8 each are 24 steps, of one each 192.
TEST_F(BatcherBlocks, APromptInSmallPiecesIsLetInWithWhatOthersWriteMeanwhile) {
  for (auto [rows, is_let_in] : {std::pair{8, true}, {1, false}}) {
    make(4, 512, 512, 9);
    batcher_->add(1, 1, request(64, 300));
    step();
    batcher_->add(2, 1, request(192, 2));
    auto next = batcher_->next_step(1, 1.0 + rows);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->rows.num_rows(), is_let_in ? 1u + rows : 1u);
    EXPECT_EQ(batcher_->num_waiting(), is_let_in ? 0u : 1u);
    end(next->rows);
  }
}

TEST_F(BatcherBlocks, TheLongestRequestGetsEveryBlock) {
  make(8, 100, 256, 4);
  batcher_->add(1, 1, request(1, 255));
  batcher_->add(2, 1, request(255, 1));
  uint32_t num_finished = 0;
  for (int i = 0; i < 600 && num_finished < 2; ++i)
    for (auto& x : step())
      num_finished += x.event.finish == finish_reason::length;
  EXPECT_EQ(num_finished, 2u);
  EXPECT_EQ(batcher_->num_preemptions(), 0u);
}

TEST_F(BatcherBlocks, WhoFitsPassesTheOneWhoWaitsForBlocks) {
  make(4, 512, 192, 3);
  batcher_->add(1, 1, request(100, 20));
  batcher_->add(2, 1, request(100, 20));
  batcher_->add(3, 1, request(1, 1)); // one block would do, and one is free
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{100, 1}));
  EXPECT_EQ(batcher_->num_waiting(), 1u);
}

TEST_F(BatcherBlocks, NobodyIsPassedByMoreThanMayRun) {
  make(4, 512, 192, 3);
  batcher_->add(1, 1, request(100, 28));
  batcher_->add(2, 1, request(100, 20));
  for (request_id id = 3; id <= 6; ++id) {
    batcher_->add(id, 1, request(1, 1));
    auto out = step();
    EXPECT_TRUE(
      std::ranges::any_of(out, [id](auto& x) { return x.request == id; }))
      << id;
  }
  batcher_->add(7, 1, request(1, 1));
  while (batcher_->num_running() > 0) {
    EXPECT_EQ(batcher_->num_waiting(), 2u);
    step();
  }
  // The one who waited goes first; there is room for both.
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{100, 1}));
}

TEST_F(BatcherBlocks, TakesThoseOfTheYoungestWhenNoneIsFree) {
  fill();
  auto rows = next_step_of(*batcher_);
  ASSERT_EQ(sizes(rows), numbers{1});
  EXPECT_EQ(rows.sequences[0].blocks->size(), 4u);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
  EXPECT_EQ(batcher_->num_preemptions(), 1u);
  batcher_->end_step(0, model_.run(rows));
  run_until_one_ends();
  // The other one's prompt and answer are computed again, as one run.
  EXPECT_EQ(sizes(next_step_of(*batcher_)), numbers{193});
}

TEST_F(BatcherBlocks, NobodyPassesOneWhoseAnswerHasBegun) {
  fill();
  step();
  ASSERT_EQ(pool_->num_free(), 2u);
  batcher_->add(3, 1, request(64, 190));
  batcher_->add(4, 1, request(1, 1)); // two blocks are free
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), numbers{1});
  batcher_->end_step(0, model_.run(rows));
  run_until_one_ends();
  rows = next_step_of(*batcher_);
  EXPECT_EQ(rows.sequences[0].tokens.size(), 193u);
}

TEST_F(BatcherBlocks, GivesNoneInTheStepThatTookThem) {
  make(4, 512, 320, 6);
  batcher_->add(1, 1, request(64, 190));
  batcher_->add(2, 1, request(100, 150));
  for (int i = 0; i < 93; ++i)
    ASSERT_EQ(step().size(), 2u);
  EXPECT_EQ(pool_->num_free(), 0u);
  // The second needs a fourth and gives up its three.
  EXPECT_EQ(sizes(next_step_of(*batcher_)), numbers{1});
  EXPECT_EQ(pool_->num_free(), 3u);
}

TEST_F(BatcherBlocks, CancelsWhoHasLostThem) {
  fill();
  step();
  ASSERT_EQ(batcher_->num_waiting(), 1u);
  EXPECT_EQ(batcher_->cancel(2, 1)->event.first_position, 129u);
  EXPECT_EQ(batcher_->num_waiting(), 0u);
}

TEST_F(BatcherBlocks, WhatWasPushedOutIsComputedAgainInItsFirstForms) {
  make(4, 512, 320, 7);
  batcher_->add(1, 1, request(60, 200));
  batcher_->add(2, 1, request(130, 180));
  while (batcher_->num_preemptions() == 0)
    step();
  run_until_one_ends();
  auto rows = next_step_of(*batcher_);
  ASSERT_EQ(sizes(rows), numbers{130});
  EXPECT_EQ(rows.sequences[0].form, attention_form::multi_head);
  EXPECT_FALSE(rows.sequences[0].draw);
  EXPECT_TRUE(batcher_->end_step(0, model_.run(rows)).empty());
  rows = next_step_of(*batcher_);
  ASSERT_EQ(rows.sequences.size(), 1u);
  EXPECT_EQ(rows.sequences[0].first_position, 130u);
  EXPECT_GT(rows.sequences[0].tokens.size(), 64u);
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  EXPECT_TRUE(rows.sequences[0].draw);
  EXPECT_EQ(batcher_->end_step(0, model_.run(rows)).size(), 1u);
}

namespace {

/// Random requests over too few blocks. Every prompt begins with a token of
/// its own, so that one sees whose rows a step has.
class crowd {
public:
  explicit crowd(uint64_t seed) : random_(seed) {
    options_.max_num_seqs = below(8) + 1;
    options_.max_num_running = options_.max_num_seqs;
    options_.max_num_batched_tokens = options_.max_num_seqs + below(200);
    options_.max_model_len = below(900) + 100;
    options_.vocab_size = 1;
    pool_ = make_token_pool(*device_,
                            (options_.max_model_len + 63) / 64 + below(20));
    cache_ = std::make_unique<prefix_cache>(*pool_, false);
    batcher_ = std::make_unique<batcher>(options_, *cache_);
  }

  void run() {
    for (request_id id = 1; id <= 20; ++id) {
      add(id);
      for (auto n = below(30); n > 0; --n)
        step();
    }
    for (int i = 0; i < 100000 && !open_.empty(); ++i)
      step();
    EXPECT_TRUE(open_.empty()) << "somebody waits for ever";
    EXPECT_EQ(cache_->num_available(), pool_->num_blocks());
    EXPECT_EQ(num_again_, batcher_->num_preemptions());
  }

  uint64_t num_again() const {
    return num_again_;
  }

private:
  struct client {
    uint32_t num_prompt = 0;
    uint32_t num_answered = 0;
    uint32_t num_answered_when_let_in = 0;
    uint32_t num_computed = 0;
  };

  uint32_t below(uint32_t n) {
    return uint32_t(random_() % n);
  }

  void add(request_id id) {
    generation_request x;
    x.prompt.assign(below(options_.max_model_len - 1) + 1, 0);
    x.prompt[0] = int32_t(id);
    auto room = options_.max_model_len - uint32_t(x.prompt.size());
    x.max_tokens = below(room) + 1;
    x.ignore_eos = true;
    if (below(4) > 0)
      for (auto left = uint32_t(x.prompt.size()); left > 0;) {
        auto n = x.segments.size() == 9 ? left : below(left) + 1;
        x.segments.push_back({n, segment_author(below(2))});
        left -= n;
      }
    open_[id].num_prompt = uint32_t(x.prompt.size());
    batcher_->add(id, 1, std::make_shared<generation_request>(std::move(x)));
  }

  void step() {
    auto rows = next_step_of(*batcher_);
    EXPECT_EQ(rows.num_rows() > 0, !open_.empty()) << "work, but no step";
    for (auto& x : rows.sequences)
      see(x);
    if (rows.num_rows() == 0)
      return;
    for (auto& x : batcher_->end_step(0, token_model::zeros(rows)))
      hear(x);
  }

  void see(const batch_rows& rows) {
    auto& owner = owner_[rows.blocks->at(0)];
    if (rows.first_position == 0)
      owner = request_id(rows.tokens[0]);
    auto& x = open_.at(owner);
    if (rows.first_position == 0 && x.num_computed > 0) {
      ++num_again_;
      EXPECT_GE(x.num_computed, x.num_prompt) << "a prefill was thrown away";
      EXPECT_GE(x.num_answered, x.num_answered_when_let_in + 64);
      x.num_answered_when_let_in = x.num_answered;
    }
    x.num_computed = rows.first_position + uint32_t(rows.tokens.size());
  }

  void hear(const batch_output& output) {
    ++open_.at(output.request).num_answered;
    if (output.event.finish != finish_reason::none)
      open_.erase(output.request);
  }

  std::mt19937_64 random_;
  batcher_options options_;
  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_;
  std::unique_ptr<prefix_cache> cache_;
  std::unique_ptr<batcher> batcher_;
  std::map<request_id, client> open_;
  std::map<uint32_t, request_id> owner_; ///< Of a first block.
  uint64_t num_again_ = 0;
};

} // namespace

TEST(BatcherProperty, WhoGivesBlocksBackHasGainedABlockOfTokens) {
  uint64_t num_again = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    crowd x{seed};
    x.run();
    num_again += x.num_again();
    if (HasFailure())
      return;
  }
  EXPECT_GT(num_again, 100u) << "this has proved nothing";
}
