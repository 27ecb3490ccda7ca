#include "runtime/cost/model_work.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

/// Small enough to count by hand: three layers, the first dense.
model_config tiny() {
  model_config c;
  c.num_hidden_layers = 3;
  c.first_k_dense_replace = 1;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 2;
  c.num_attention_heads = 2;
  c.kv_lora_rank = 16;
  c.qk_nope_head_dim = 8;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 8;
  return c;
}

model_summary amounts() {
  model_summary s;
  auto set = [&](tensor_kind kind, uint64_t parameters, uint64_t bytes) {
    s.kinds[static_cast<size_t>(kind)] = {parameters, bytes};
  };
  set(tensor_kind::attention, 100, 150);
  set(tensor_kind::dense_mlp, 10, 20);
  set(tensor_kind::shared_experts, 5, 6);
  set(tensor_kind::routed_experts, 800, 880);
  set(tensor_kind::embedding, 30, 60);
  set(tensor_kind::head, 40, 80);
  set(tensor_kind::mtp, 1000, 1000);
  return s;
}

constexpr double always_bytes = 150 + 20 + 6;
constexpr double always_flops = 2 * (100 + 10 + 5);
constexpr double token_bytes = 3 * (16 + 4) * 2;        // of the cache
constexpr double pair_flops = 3 * 2 * 2 * (2 * 16 + 4); // absorbed
constexpr double plain_pair_flops = 3 * 2 * 2 * (8 + 4 + 8);

TEST(ModelWork, ExpectsDistinctExpertsOfIndependentRows) {
  model_work x{tiny(), amounts(), precision::fp8};
  EXPECT_DOUBLE_EQ(x.expected_experts(1), 2);
  EXPECT_DOUBLE_EQ(x.expected_experts(2), 8 * (1 - 9.0 / 16));
  EXPECT_DOUBLE_EQ(x.expected_experts(4), 8 * (1 - 81.0 / 256));
  EXPECT_NEAR(x.expected_experts(1000), 8, 1e-9);
}

TEST(ModelWork, OneTokenReadsWhatIsActiveAndItsOwnLatent) {
  model_work x{tiny(), amounts(), precision::fp8};
  auto w = x.step({1, 1, 0, 1});
  EXPECT_DOUBLE_EQ(w.experts, 2);
  EXPECT_DOUBLE_EQ(w.weight_bytes, always_bytes + 2 * 110 + 80);
  EXPECT_DOUBLE_EQ(w.cache_bytes, 2 * token_bytes); // written and read
  EXPECT_DOUBLE_EQ(w.flops, always_flops + 2 * 200 + 80 + pair_flops);
  EXPECT_DOUBLE_EQ(w.bytes(), w.weight_bytes + w.cache_bytes);
}

TEST(ModelWork, SequencesShareWeightsButNotTheirCaches) {
  model_work x{tiny(), amounts(), precision::fp8};
  auto w = x.step({4, 1, 10, 4});
  EXPECT_DOUBLE_EQ(w.weight_bytes, always_bytes + 5.46875 * 110 + 80);
  EXPECT_DOUBLE_EQ(w.cache_bytes, (4 * 11 + 4) * token_bytes);
  EXPECT_DOUBLE_EQ(w.flops,
                   4 * (always_flops + 2 * 200 + 80) + 4 * 11 * pair_flops);
}

TEST(ModelWork, Fp32CachesTwiceTheBytes) {
  model_work two{tiny(), amounts(), precision::bf16};
  model_work four{tiny(), amounts(), precision::fp32};
  EXPECT_DOUBLE_EQ(four.step({3, 1, 7, 3}).cache_bytes,
                   2 * two.step({3, 1, 7, 3}).cache_bytes);
}

TEST(ModelWork, APromptIsItsChunksWithOneRowOfLogits) {
  model_work x{tiny(), amounts(), precision::fp8};
  auto w = x.prompt(5, 4);
  auto experts = 5.46875 + 2; // of four rows, of one row
  EXPECT_DOUBLE_EQ(w.experts, experts);
  EXPECT_DOUBLE_EQ(w.weight_bytes, 2 * always_bytes + experts * 110 + 80);
  EXPECT_DOUBLE_EQ(w.cache_bytes, (4 + 5 + 5) * token_bytes);
  EXPECT_DOUBLE_EQ(w.flops, 5 * (always_flops + 2 * 200) + 80
                              + 10 * plain_pair_flops + 5 * pair_flops);
}

TEST(ModelWork, TiedEmbeddingsAreTheHead) {
  auto config = tiny();
  config.tie_word_embeddings = true;
  auto s = amounts();
  s.kinds[static_cast<size_t>(tensor_kind::head)] = {};
  model_work x{config, s, precision::fp8};
  EXPECT_DOUBLE_EQ(x.step({1, 1, 0, 1}).weight_bytes,
                   always_bytes + 2 * 110 + 60);
  EXPECT_DOUBLE_EQ(x.step({1, 1, 0, 0}).weight_bytes, always_bytes + 2 * 110);
}

TEST(ModelWork, TheNanoModelComputesItsActiveParameters) {
  auto dir = nano_dir() / "model";
  auto c = *read_model_config(dir);
  auto source = checkpoint::open(dir);
  ASSERT_TRUE(source);
  auto s = summarize(*source, c);
  auto w = model_work{c, s, precision::fp8}.step({1, 1, 0, 1});
  auto attention = 2.0 * (2.0 * c.kv_lora_rank + c.qk_rope_head_dim)
                   * c.num_attention_heads * c.num_hidden_layers;
  EXPECT_DOUBLE_EQ(w.flops, 2.0 * double(s.active_parameters) + attention);
  EXPECT_DOUBLE_EQ(w.cache_bytes, 2.0 * double(s.kv_bytes_per_token));
}

} // namespace
} // namespace troupe
