/// Blocks that come from elsewhere become blocks of the cache as if they had
/// been computed here, and nothing is held longer than it is of use.

#include "runtime/batching/chain_fetch.hpp"

#include "tests/unit/runtime/token_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace troupe {

namespace {

class ChainFetch : public testing::Test {
protected:
  ChainFetch() {
    cache_.keep_keys(identity_of("model"));
  }

  static std::shared_ptr<generation_request>
  request(uint32_t num_tokens, const std::string& salt = "", int32_t add = 0) {
    auto out = std::make_shared<generation_request>();
    for (uint32_t i = 0; i < num_tokens; ++i)
      out->prompt.push_back(int32_t(i % 7 + i / 64) + add);
    out->max_tokens = 4;
    out->cache_salt = salt;
    return out;
  }

  static sequence sequence_of(std::shared_ptr<const generation_request> what) {
    sequence out;
    out.forms = forms_of_prompt(what->prompt.size(), what->segments);
    out.request = std::move(what);
    return out;
  }

  /// As a batcher that computes it and then gives it back.
  void compute(std::shared_ptr<const generation_request> what) {
    auto x = sequence_of(std::move(what));
    find_prefix(cache_, x);
    take_prefix(cache_, x);
    ASSERT_TRUE(claim_blocks(cache_, x));
    x.num_computed = x.num_tokens();
    seal_blocks(cache_, x);
    release_blocks(cache_, x);
  }

  uint32_t num_found(std::shared_ptr<const generation_request> what) {
    auto x = sequence_of(std::move(what));
    find_prefix(cache_, x);
    return uint32_t(x.found.size());
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_ = make_token_pool(*device_, 16);
  prefix_cache cache_{*pool_};
};

TEST_F(ChainFetch, KeysAreThoseOfTheBlocksThatAreComputed) {
  auto what = request(300);
  std::vector<kv_block> want = chain_fetch{cache_, what, {}}.missing();
  ASSERT_EQ(want.size(), 4u) << "but for the block of the last token";
  compute(what);
  std::vector<kv_block> known;
  for (auto block : cache_.take_fresh())
    known.push_back(cache_.described(block));
  EXPECT_EQ(known, want);
  EXPECT_TRUE(cache_.take_fresh().empty());
  EXPECT_TRUE((chain_fetch{cache_, what, {}}.missing().empty()));
  // Longer, it goes on where memory ends.
  auto longer = request(500);
  std::ranges::copy(what->prompt, longer->prompt.begin());
  auto more = chain_fetch{cache_, longer, {}}.missing();
  ASSERT_EQ(more.size(), 3u);
  EXPECT_EQ(more[0].depth, 4u);
  EXPECT_EQ(more[0].before, want[3].key);
  auto other = chain_fetch{cache_, request(300, "salt"), {}}.missing();
  ASSERT_EQ(other.size(), 4u);
  EXPECT_NE(other[0].key, want[0].key);
}

TEST_F(ChainFetch, AFormIsPartOfAKey) {
  auto given = request(300), generated = request(300);
  generated->segments = {{300, segment_author::generated}};
  auto x = chain_fetch{cache_, given, {}}.missing();
  auto y = chain_fetch{cache_, generated, {}}.missing();
  EXPECT_NE(x[0].multi_head, y[0].multi_head);
  EXPECT_NE(x[0].key, y[0].key);
}

TEST_F(ChainFetch, WhatIsScoredIsComputed) {
  auto what = request(300);
  what->num_prompt_scores = 1;
  EXPECT_TRUE((chain_fetch{cache_, what, {}}.missing().empty()));
}

TEST_F(ChainFetch, WhatArrivesIsFoundByWhoComesNext) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(3);
  EXPECT_FALSE(x.is_over());
  ASSERT_TRUE(x.take(1, 0, true));
  ASSERT_TRUE(x.take(0, 0, true));
  ASSERT_TRUE(x.take(2, 0, true));
  x.land(1, true);
  EXPECT_EQ(x.num_known(), 0u) << "the one before it is not there";
  x.land(0, true);
  EXPECT_EQ(x.num_known(), 2u);
  EXPECT_FALSE(x.is_over());
  x.land(2, true);
  EXPECT_TRUE(x.is_over());
  EXPECT_EQ(num_found(request(300)), 3u);
  EXPECT_EQ(num_found(request(300, "salt")), 0u);
  EXPECT_EQ(cache_.num_idle(), 0u) << "they are held";
  x.let_go();
  EXPECT_EQ(cache_.num_idle(), 3u);
  EXPECT_TRUE(cache_.take_fresh().empty()) << "they are kept already";
}

/// It may have come from another node.
TEST_F(ChainFetch, WhatIsKeptNowhereIsFresh) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(3);
  for (uint32_t i : {0u, 1u, 2u}) {
    ASSERT_TRUE(x.take(i, 0, i == 1));
    x.land(i, true);
  }
  std::vector<uint32_t> depths;
  for (auto block : cache_.take_fresh())
    depths.push_back(cache_.described(block).depth);
  EXPECT_EQ(depths, (std::vector<uint32_t>{0, 2}));
}

TEST_F(ChainFetch, BehindWhatDoesNotComeNothingDoes) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(4);
  ASSERT_TRUE(x.take(0, 0));
  ASSERT_TRUE(x.take(2, 0));
  ASSERT_TRUE(x.take(3, 0));
  x.land(2, true);
  EXPECT_TRUE(x.is_wanted());
  x.lose(1);
  EXPECT_EQ(cache_.num_available(), 14u) << "one that landed is let go";
  x.land(0, true);
  EXPECT_FALSE(x.is_wanted());
  x.land(3, true);
  EXPECT_TRUE(x.is_over());
  EXPECT_EQ(num_found(request(300)), 1u);
  EXPECT_EQ(cache_.num_available(), 15u);
}

TEST_F(ChainFetch, ACopyThatFailedIsLost) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(2);
  x.take(0, 0);
  x.take(1, 0);
  x.land(0, false);
  x.land(1, true);
  EXPECT_TRUE(x.is_over());
  EXPECT_EQ(num_found(request(300)), 0u);
  EXPECT_EQ(cache_.num_available(), 16u);
}

TEST_F(ChainFetch, LeavesSomeToThoseWhoRun) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(4);
  EXPECT_TRUE(x.take(0, 15));
  EXPECT_FALSE(x.take(1, 15));
  EXPECT_EQ(cache_.num_available(), 15u);
  x.land(0, true);
  EXPECT_FALSE(x.is_wanted());
}

TEST_F(ChainFetch, WhoLetsGoFreesAllThatNobodyWritesTo) {
  compute(request(130)); // as long that its form is theirs
  auto what = request(300);
  chain_fetch x{cache_, what, {}};
  EXPECT_EQ(x.num_tokens_before(), 128u);
  EXPECT_EQ(cache_.num_available(), 14u) << "what memory has is held";
  x.expect(2);
  x.take(0, 0);
  x.take(1, 0);
  x.land(0, true);
  x.let_go();
  EXPECT_FALSE(x.is_wanted());
  EXPECT_EQ(cache_.num_available(), 15u) << "but for one that is written to";
  x.land(1, true);
  EXPECT_EQ(cache_.num_available(), 16u);
  EXPECT_TRUE(x.is_over());
}

TEST_F(ChainFetch, WhoLetGoBeforeAnythingWasFoundWantsNothing) {
  chain_fetch x{cache_, request(300), {}};
  x.let_go();
  x.expect(1);
  EXPECT_FALSE(x.take(0, 0));
  EXPECT_TRUE(x.is_over());
}

TEST_F(ChainFetch, SomebodyElseMayHaveComputedItMeanwhile) {
  chain_fetch x{cache_, request(300), {}};
  x.expect(2);
  x.take(0, 0);
  x.take(1, 0);
  compute(request(300));
  x.land(0, true);
  x.land(1, true);
  EXPECT_EQ(x.num_known(), 2u);
  EXPECT_EQ(num_found(request(300)), 4u);
  x.let_go();
  EXPECT_EQ(cache_.num_available(), 16u);
  EXPECT_EQ(cache_.num_idle(), 4u);
}

/// Whatever happens in whatever order: no block is lost, and what is known is
/// a beginning.
TEST_F(ChainFetch, NoBlockIsEverLost) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    auto what = request(uint32_t(130 + random() % 700), "", int32_t(seed));
    if (random() % 2)
      compute(request(uint32_t(130 + random() % 200), "", int32_t(seed)));
    {
      chain_fetch x{cache_, what, {}};
      auto n = uint32_t(random() % (x.missing().size() + 1));
      x.expect(n);
      std::vector<uint32_t> to_tell(n), to_land;
      for (uint32_t i = 0; i < n; ++i)
        to_tell[i] = i;
      std::ranges::shuffle(to_tell, random);
      while (!to_tell.empty() || !to_land.empty()) {
        auto what_next = random() % 40;
        if (what_next == 0) {
          x.let_go();
        } else if (what_next < 20 && !to_tell.empty()) {
          auto i = to_tell.back();
          to_tell.pop_back();
          if (what_next == 1)
            x.lose(i);
          else if (x.take(i, uint32_t(random() % 3)))
            to_land.push_back(i);
        } else if (!to_land.empty()) {
          std::swap(to_land.back(), to_land[random() % to_land.size()]);
          x.land(to_land.back(), random() % 30 > 0);
          to_land.pop_back();
        }
      }
      EXPECT_TRUE(x.is_over());
      EXPECT_LE(x.num_known(), n);
    }
    ASSERT_EQ(cache_.num_available(), 16u);
  }
}

} // namespace

} // namespace troupe
