/// A turn of a conversation that finds the turns before it in the cache has the
/// tokens and logits of one that computes them, bit for bit.

#include "tests/cluster/conversation.hpp"

namespace troupe {

namespace {

class Prefix : public testing::TestWithParam<prefix_setting> {
protected:
  std::unique_ptr<company> start(bool remembers) {
    auto out = options_for(GetParam());
    out.cluster.limits.prefix_caching = remembers;
    return started(std::move(out));
  }
};

TEST_P(Prefix, AHitChangesNoBit) {
  auto activations = std::get<2>(GetParam());
  auto warm = start(true), cold = start(false);
  conversation x;
  x.turn = request_for(random_prompt(1, 190), 70, 5);
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < 3; ++i) {
    auto want = ask_plain(nano_model(), activations, {x.turn});
    // Beside it, from the second turn on, others who begin as it does.
    std::vector<generation_request> all(i + 1, x.turn);
    for (auto& other : std::span{all}.subspan(1))
      other.sampling.seed += 1;
    auto got = ask_all(*warm, all);
    expect_equal(got, want);
    found.push_back(got[0].num_cached);
    auto computed = ask_all(*cold, {x.turn});
    expect_equal(computed, want);
    EXPECT_EQ(computed[0].num_cached, 0u);
    x.go_on(got[0], 100 + i, 30);
  }
  // Of 190 + 70, and of 290 + 70, all full blocks but for the last token's.
  EXPECT_EQ(found, (std::vector<uint32_t>{0, 256, 320}));
  auto stats = warm->stats();
  EXPECT_EQ(stats.requests_failed, 0u);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Prefix,
                         testing::Values(std::tuple{1u, 1u, precision::fp8},
                                         std::tuple{2u, 8u, precision::fp8},
                                         std::tuple{2u, 4u, precision::fp32}));

} // namespace

} // namespace troupe
