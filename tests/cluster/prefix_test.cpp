/// A turn of a conversation that finds the turns before it in the cache has the
/// tokens and logits of one that computes them, bit for bit.

#include "tests/cluster/company_fixture.hpp"

#include <tuple>

namespace troupe {

namespace {

struct conversation {
  generation_request turn;

  /// The next turn: what was answered, then `more` tokens from people.
  void go_on(const answer& x, uint32_t seed, uint32_t more) {
    auto& prompt = turn.prompt;
    if (turn.segments.empty())
      turn.segments = {{uint32_t(prompt.size()), segment_author::given}};
    prompt.insert(prompt.end(), x.tokens.begin(), x.tokens.end());
    turn.segments.push_back(
      {uint32_t(x.tokens.size()), segment_author::generated});
    auto said = random_prompt(seed, more);
    prompt.insert(prompt.end(), said.begin(), said.end());
    turn.segments.push_back({more, segment_author::given});
  }
};

/// Micro-batches, workers.
class Prefix
  : public testing::TestWithParam<std::tuple<uint32_t, uint32_t, precision>> {
protected:
  std::unique_ptr<company> start(bool remembers) {
    auto [lanes, ep, activations] = GetParam();
    company_options out;
    out.cluster = single_process(1, ep);
    out.cluster.activations = activations;
    out.cluster.max_model_len = 512;
    out.cluster.limits.max_num_batched_tokens = 128;
    out.cluster.limits.max_num_seqs = 16;
    out.cluster.limits.micro_batches = lanes;
    out.cluster.limits.prefix_caching = remembers;
    out.model_dir = nano_model();
    out.node.num_threads = 2;
    auto made = company::start(std::move(out));
    EXPECT_TRUE(made) << made.why().message;
    EXPECT_TRUE((*made)->wait_until_ready(std::chrono::seconds{60}));
    return std::move(*made);
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
