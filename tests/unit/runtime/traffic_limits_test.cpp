#include "runtime/cluster/traffic_limits.hpp"

#include "runtime/cluster/node_parts.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/dispatch_plans.hpp"
#include "tests/unit/runtime/v3_shapes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

using namespace troupe;

namespace {

model_config v3() {
  auto out = v3_shapes();
  out.fp8 = true;
  return out;
}

/// A front, `rank_nodes` nodes of `ranks` ranks, `worker_nodes` of `workers`.
topology spread(uint32_t rank_nodes, uint32_t ranks, uint32_t worker_nodes,
                uint32_t workers) {
  topology out;
  out.nodes.resize(1 + rank_nodes + worker_nodes);
  for (uint32_t i = 0; i < rank_nodes * ranks; ++i)
    out.nodes[1 + i / ranks].ranks.push_back(i);
  for (uint32_t i = 0; i < worker_nodes * workers; ++i)
    out.nodes[1 + rank_nodes + i / workers].workers.push_back(i);
  return out;
}

placement place(const topology& cluster, const model_config& config) {
  std::vector<node_id> nodes;
  for (uint32_t w = 0; w < cluster.num_workers(); ++w)
    nodes.push_back(cluster.node_of_worker(w));
  return {config.num_moe_layers(), config.n_routed_experts,
          cluster.num_workers(), nodes};
}

traffic_limits limits_of(const topology& cluster, node_id node,
                         const model_config& config = v3()) {
  return plan_traffic(cluster, config, {place(cluster, config)}, node);
}

constexpr uint64_t answer = 7168 * 2;      // BF16
constexpr uint64_t row = 7168 + 7168 / 32; // e4m3 and scales

} // namespace

TEST(TrafficLimits, FollowFromWidthRanksAndRows) {
  auto cluster = spread(1, 8, 1, 1);
  auto ranks = limits_of(cluster, 1), experts = limits_of(cluster, 2);
  EXPECT_EQ(ranks.dispatch_rows, experts.dispatch_rows);
  EXPECT_GE(ranks.dispatch_rows, 512u) << "a step of default size in one frame";
  EXPECT_EQ(experts.combine_rows, (4u << 20) / answer);
  EXPECT_EQ(experts.combine_bytes, 512 * 8 * answer);
  EXPECT_GE(ranks.dispatch_bytes, 512 * row);
  EXPECT_LT(ranks.dispatch_bytes, 512 * row * 11 / 10);
  EXPECT_EQ(ranks.combine_bytes, 0u) << "it has no workers";
  EXPECT_EQ(ranks.answer_bytes, 0u);
  EXPECT_EQ(experts.slab_bytes, 0u) << "it has no ranks";
  EXPECT_GE(experts.answer_bytes, 8 * 512 * 8 * answer);
  EXPECT_EQ(ranks.received_bytes, 8 * 512 * 8 * answer);
  EXPECT_EQ(experts.max_staging_rows, 2048u) << "more runs in turn";
}

TEST(TrafficLimits, GrowWithWhateverMakesRowsMore) {
  auto base = spread(1, 2, 2, 2);
  auto more_rows = base, more_ranks = spread(1, 4, 2, 2);
  more_rows.limits.max_num_batched_tokens *= 4;
  auto wide = v3();
  wide.hidden_size *= 2;
  for (node_id node : {1, 2}) {
    auto x = limits_of(base, node);
    for (auto& y : {limits_of(more_rows, node), limits_of(more_ranks, node),
                    limits_of(base, node, wide)}) {
      EXPECT_GT(y.memory(), x.memory());
      EXPECT_GT(y.max_unsent, x.max_unsent);
    }
  }
}

TEST(TrafficLimits, LetNoQueueFillInNormalWork) {
  for (auto& cluster :
       {spread(1, 8, 1, 1), spread(8, 1, 8, 4), single_process(4, 8)})
    for (node_id n = 0; n < cluster.nodes.size(); ++n) {
      auto x = limits_of(cluster, n);
      auto& l = cluster.limits;
      auto requests = uint64_t{cluster.num_ranks()}
                      * (l.max_num_seqs + l.max_num_waiting)
                      * cluster.max_model_len * 4;
      EXPECT_GT(x.max_unsent, x.slab_bytes + x.answer_bytes + requests);
    }
}

TEST(TrafficLimits, BoundWhatAWorkerHoldsHoweverManyRanksThereAre) {
  auto few = limits_of(spread(1, 8, 36, 1), 2);
  auto many = limits_of(spread(18, 8, 36, 1), 19);
  EXPECT_EQ(many.max_staging_rows, few.max_staging_rows);
  EXPECT_LE(many.answer_bytes, uint64_t{1} << 30);
}

TEST(TrafficLimits, KeepAWorkerSmallAmongManyRanks) {
  auto x = limits_of(spread(18, 8, 18, 8), 19); // 144 ranks, 144 workers
  EXPECT_LT(x.worker_bytes, 40'000'000u);
  EXPECT_EQ(x.max_run_pairs, 512u) << "256 for each of its slots";
}

TEST(TrafficLimits, OfOneRowAreEnoughForOneRow) {
  auto cluster = single_process(1, 1);
  cluster.limits.max_num_batched_tokens = 1;
  cluster.limits.max_frame_bytes = 4096; // less than a row
  auto x = limits_of(cluster, 0);
  EXPECT_EQ(x.dispatch_rows, 1u);
  EXPECT_EQ(x.combine_rows, 1u);
  slab_pool answers{x.answer_bytes};
  std::vector<uint64_t> frames(8, answer_head(1) + answer);
  std::vector<slab_pool::slab> out;
  EXPECT_EQ(answers.take_all(
              frames, [] {}, out),
            slab_pool::room::there);
}

TEST(TrafficLimits, CutSlabsThatAreNoLargerThanAFrame) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto config = v3();
    config.hidden_size = 128u << random() % 4;
    config.n_routed_experts = 8 + random() % 200;
    config.num_experts_per_tok = 1 + random() % 8;
    auto cluster = single_process(1, 1 + random() % 8);
    cluster.limits.max_frame_bytes = 4096u << random() % 4;
    cluster.limits.max_num_batched_tokens = 256;
    auto map = place(cluster, config);
    auto x = plan_traffic(cluster, config, {map}, 0);
    std::vector<int32_t> experts, all(config.n_routed_experts);
    std::iota(all.begin(), all.end(), 0);
    for (int t = 0; t < 256; ++t) {
      std::ranges::shuffle(all, random);
      experts.insert(experts.end(), all.begin(),
                     all.begin() + config.num_experts_per_tok);
    }
    auto plan = plan_dispatch(map, 0, experts, config.num_experts_per_tok,
                              x.dispatch_rows);
    slab_pool pool{x.slab_bytes};
    std::vector<slab_draft> drafts; // all at once, as a rank makes them
    auto row_bytes = config.dispatch_layout(precision::fp8).row_bytes();
    for (auto& slab : plan.slabs) {
      auto draft = draft_slab(pool, slab, row_bytes);
      ASSERT_TRUE(draft) << draft.why().message;
      EXPECT_LE(draft->payload.bytes().size(), cluster.limits.max_frame_bytes);
      drafts.push_back(*draft);
    }
  }
}

TEST(TrafficLimits, KeepThePromptsThatFitIntoAControlMessage) {
  auto config = v3();
  config.max_position_embeddings = 8u << 20;
  auto cluster = single_process(1, 1);
  cluster.limits.num_kv_blocks = 1u << 20;
  cluster.max_model_len = 15u << 16;
  EXPECT_TRUE(check_fits(cluster, config));
  cluster.max_model_len = (15u << 16) + 1;
  auto no = check_fits(cluster, config);
  ASSERT_FALSE(no);
  EXPECT_NE(no.why().message.find("max_model_len"), std::string::npos);
}

TEST(TrafficLimits, OfAModelWithoutExpertsAskForNone) {
  auto config = v3();
  config.first_k_dense_replace = config.num_hidden_layers;
  auto x = limits_of(spread(1, 1, 1, 1), 2, config);
  EXPECT_EQ(x.combine_bytes, 0u);
}
