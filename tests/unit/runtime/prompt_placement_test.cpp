#include "runtime/cluster/prompt_placement.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// 1 ms for a token, 1 us for a pair.
part_loads prices_of(rank_id rank) {
  part_loads out;
  auto& x = out.ranks.emplace_back();
  x.rank = rank;
  x.prompt_token_ps = 1'000'000'000;
  x.prompt_pair_ps = 1'000'000;
  return out;
}

/// One that begins with the first `common` tokens of all.
std::shared_ptr<generation_request> prompt(uint32_t num_tokens,
                                           uint32_t common = 0) {
  static int32_t last = 1'000'000;
  auto out = std::make_shared<generation_request>();
  for (uint32_t i = 0; i < num_tokens; ++i)
    out->prompt.push_back(i < common ? int32_t(i) : ++last);
  out->max_tokens = 10;
  return out;
}

using ranks = std::vector<rank_id>;

class PromptPlacement : public testing::Test {
protected:
  PromptPlacement() {
    auto cluster = single_process(3, 1);
    cluster.limits.num_kv_blocks = 32;
    placement_ = std::make_unique<prompt_placement>(cluster);
  }

  /// Gives it to a rank.
  void give(request_id id, std::shared_ptr<generation_request> what,
            rank_id rank) {
    journal_.accept(id, std::move(what), {rank});
    placement_->given(id, journal_);
  }

  /// Its prompt is read.
  void answer(request_id id) {
    generation_event x;
    x.tokens = {1};
    journal_.commit(id, 1, x);
  }

  ranks best_of(const generation_request& x, const ranks& usable = {0, 1, 2}) {
    return placement_->best_of(usable, x, journal_);
  }

  request_journal journal_{3};
  std::unique_ptr<prompt_placement> placement_;
};

} // namespace

TEST_F(PromptPlacement, KnowsNothingBeforePricesAreTold) {
  give(1, prompt(500), 0);
  EXPECT_EQ(best_of(*prompt(10)), (ranks{0, 1, 2}));
}

TEST_F(PromptPlacement, GoesBehindTheShortestQueue) {
  placement_->hear(prices_of(0));
  give(1, prompt(500), 0);
  give(2, prompt(300), 1);
  EXPECT_EQ(best_of(*prompt(100)), ranks{2});
  EXPECT_EQ(best_of(*prompt(100), {0, 1}), ranks{1});
  answer(1);
  EXPECT_EQ(best_of(*prompt(100)), (ranks{0, 2})) << "one is as good";
  EXPECT_EQ(best_of(*prompt(100), {0, 1}), ranks{0});
  journal_.remove(2);
  EXPECT_EQ(best_of(*prompt(100)), (ranks{0, 1, 2}));
}

/// Long prompts attend to more: two of 400 are read before one of 800.
TEST_F(PromptPlacement, CountsWhatTokensAttendTo) {
  auto told = prices_of(0);
  told.ranks[0].prompt_token_ps = 1;
  placement_->hear(told);
  give(1, prompt(800), 0);
  give(2, prompt(400), 1);
  give(3, prompt(400), 1);
  EXPECT_EQ(best_of(*prompt(100), {0, 1}), ranks{1});
}

TEST_F(PromptPlacement, WeighsAKnownBeginningAgainstTheQueue) {
  placement_->hear(prices_of(0));
  give(1, prompt(640, 320), 1);
  answer(1);
  EXPECT_EQ(best_of(*prompt(640, 320)), ranks{1});
  EXPECT_EQ(best_of(*prompt(640, 63)), (ranks{0, 1, 2})) << "no whole block";
  give(2, prompt(200), 1);
  EXPECT_EQ(best_of(*prompt(640, 320)), ranks{1}) << "it still saves 320";
  give(3, prompt(400), 1);
  EXPECT_EQ(best_of(*prompt(640, 320)), (ranks{0, 2}));
}

TEST_F(PromptPlacement, ForgetsWhatIsGone) {
  placement_->hear(prices_of(0));
  give(1, prompt(640, 320), 1);
  answer(1);
  auto other = prompt(640, 320);
  other->cache_salt = "mine";
  EXPECT_EQ(best_of(*other), (ranks{0, 1, 2})) << "another tenant's";
  placement_->lost(1);
  EXPECT_EQ(best_of(*prompt(640, 320)), (ranks{0, 1, 2}));
  give(2, prompt(640, 320), 1);
  give(3, prompt(32 * 64), 1); // all that its cache holds
  answer(2);
  answer(3);
  EXPECT_EQ(best_of(*prompt(640, 320)), (ranks{0, 1, 2}));
}

TEST_F(PromptPlacement, WhoHasAnotherOwnerIsReadThere) {
  placement_->hear(prices_of(0));
  give(1, prompt(500), 0);
  journal_.raise(1, {1});
  EXPECT_EQ(best_of(*prompt(100), {0, 1}), (ranks{0, 1}))
    << "nobody has said who has it";
  placement_->given(1, journal_);
  EXPECT_EQ(best_of(*prompt(100), {0, 1}), ranks{0});
}
