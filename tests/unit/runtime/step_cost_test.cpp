#include "runtime/batching/step_cost.hpp"

#include "runtime/checkpoint/config.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(StepCost, CountsEachQueryWithTheKeysUpToItsOwn) {
  step_cost x{10, 1};
  EXPECT_EQ(x.of(0, 1), 10 + 1);
  EXPECT_EQ(x.of(0, 3), 30 + 1 + 2 + 3);
  EXPECT_EQ(x.of(7, 2), 20 + 8 + 9);
}

TEST(StepCost, FindsTheMostRowsForACost) {
  step_cost x{10, 1};
  for (uint32_t first : {0u, 5u, 4000u})
    for (double budget = 0; budget < 9000; budget += 7) {
      auto n = x.rows_within(first, 50, budget);
      EXPECT_LE(x.of(first, n), budget);
      if (n < 50) {
        EXPECT_GT(x.of(first, n + 1), budget);
      }
    }
}

/// DeepSeek-V3 has 36.7 G active parameters, of which the embedding and the
/// head are not ours; a query meets a key in 61 layers and 128 heads.
TEST(StepCost, FollowsFromTheShapesOfAModel) {
  model_config v3;
  v3.hidden_size = 7168;
  v3.num_hidden_layers = 61;
  v3.first_k_dense_replace = 3;
  v3.intermediate_size = 18432;
  v3.moe_intermediate_size = 2048;
  v3.n_routed_experts = 256;
  v3.n_shared_experts = 1;
  v3.num_experts_per_tok = 8;
  v3.num_attention_heads = 128;
  v3.q_lora_rank = 1536;
  v3.kv_lora_rank = 512;
  v3.qk_nope_head_dim = 128;
  v3.qk_rope_head_dim = 64;
  v3.v_head_dim = 128;
  auto x = step_cost::of_shapes(v3);
  EXPECT_EQ(x.per_row, 1);
  EXPECT_NEAR(61 * 128 * 320 / x.per_pair, 35.6e9, 0.3e9);
}
