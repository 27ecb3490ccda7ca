#include "runtime/batching/chain_offer.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

constexpr uint32_t num_blocks = 6;

class ChainOffer : public testing::Test {
protected:
  ChainOffer() {
    model_config config;
    config.num_hidden_layers = 1;
    config.kv_lora_rank = 2;
    config.qk_rope_head_dim = 2;
    auto pool = kv_pool::make(*device_, config, precision::fp32, num_blocks);
    EXPECT_TRUE(pool);
    pool_ = std::move(*pool);
    cache_.emplace(*pool_);
  }

  static std::shared_ptr<const generation_request> request(uint32_t length) {
    auto out = std::make_shared<generation_request>();
    for (uint32_t i = 0; i < length; ++i)
      out->prompt.push_back(int32_t(i));
    return out;
  }

  /// Somebody computes the next block of a request.
  void compute(const std::shared_ptr<const generation_request>& of) {
    sequence x;
    x.request = of;
    x.forms = forms_of_prompt(of->prompt.size(), {});
    auto block = cache_->take();
    ASSERT_TRUE(block);
    name_ = cache_->seal(x.content_of(num_computed_++, name_), *block);
    cache_->release(*block);
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_;
  std::optional<prefix_cache> cache_;
  uint32_t num_computed_ = 0;
  uint64_t name_ = 0;
};

} // namespace

TEST_F(ChainOffer, HoldsWhatBecomesKnownInTheOrderOfTheChain) {
  auto what = request(150);
  chain_offer x{*cache_, what, {}};
  EXPECT_EQ(x.num_blocks(), 2u);
  EXPECT_EQ(x.look(), 0u);
  compute(what);
  EXPECT_EQ(x.look(), 1u);
  compute(what);
  EXPECT_EQ(x.look(), 2u);
  EXPECT_NE(x.block(0), x.block(1));
  EXPECT_EQ(cache_->num_available(), num_blocks - 2);
  // Others may want all that there is.
  while (cache_->take())
    ;
  EXPECT_TRUE(cache_->is_known(x.block(0)));
  EXPECT_EQ(x.look(), 2u);
}

TEST_F(ChainOffer, HasTheLastBlockOfAPromptThatIsFull) {
  auto what = request(128);
  chain_offer x{*cache_, what, {}};
  EXPECT_EQ(x.num_blocks(), 2u) << "the next token is behind it";
  compute(what);
  compute(what);
  EXPECT_EQ(x.look(), 2u);
}

TEST_F(ChainOffer, HoldsWhatIsReadBeforeItIsKnown) {
  auto what = request(200);
  auto first = *cache_->take();
  auto second = *cache_->take();
  {
    chain_offer x{*cache_, what, {}};
    x.lend(0, first);
    x.lend(1, second);
    EXPECT_TRUE(x.is_lent_from(1));
    EXPECT_FALSE(x.is_lent_from(2));
    cache_->release(first); // its owner goes
    EXPECT_EQ(cache_->num_available(), num_blocks - 2);
    x.give_back(0);
    x.give_back(0);
    EXPECT_EQ(cache_->num_available(), num_blocks - 1);
    cache_->release(second);
    EXPECT_EQ(cache_->num_available(), num_blocks - 1);
  }
  EXPECT_EQ(cache_->num_available(), num_blocks);
}

TEST_F(ChainOffer, GivesBackAllThatItHeld) {
  auto what = request(200);
  {
    chain_offer x{*cache_, what, {}};
    for (int i = 0; i < 3; ++i)
      compute(what);
    EXPECT_EQ(x.look(), 3u);
  }
  EXPECT_EQ(cache_->num_available(), num_blocks);
  EXPECT_EQ(cache_->num_idle(), 3u);
}

TEST_F(ChainOffer, ForgetsNothingThatItHasSaid) {
  auto what = request(200);
  chain_offer x{*cache_, what, {}};
  compute(what);
  compute(what);
  EXPECT_EQ(x.look(), 2u);
  cache_->spoil(x.block(1));
  EXPECT_EQ(x.look(), 2u);
  EXPECT_TRUE(pool_->is_held(x.block(1)));
}
