/// What a company says of itself: what its parts have done, added up.

#include "runtime/cluster/cluster_status.hpp"
#include "tests/cluster/company_fixture.hpp"

#include <chrono>
#include <thread>

namespace troupe {

namespace {

/// Once every node has told its loads, which it does when it has been silent
/// for a while.
cluster_status settled(const company& x, uint64_t num_tokens) {
  cluster_status out;
  for (int i = 0; i < 3000; ++i) {
    out = x.cluster();
    uint64_t tokens = 0;
    auto rests = true; // what its steps have brought is told first
    for (auto& rank : out.ranks) {
      tokens += rank.tokens;
      rests = rests && rank.running + rank.waiting == 0
              && rank.kv_blocks_free == rank.kv_blocks;
    }
    if (tokens == num_tokens && rests)
      break;
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
  return out;
}

TEST(ClusterStatus, AddsUpWhatTheWorkWas) {
  company_options options;
  options.cluster = single_process(2, 4);
  options.cluster.max_model_len = 512;
  options.model_dir = nano_model();
  options.node.num_threads = 2;
  auto made = company::start(std::move(options));
  ASSERT_TRUE(made) << made.why().message;
  auto& x = **made;
  EXPECT_FALSE(x.cluster().takes_requests);
  ASSERT_TRUE(x.wait_until_ready(std::chrono::seconds{60}));
  constexpr uint32_t num_prompt = 40, num_answer = 5, num_requests = 3;
  std::vector<generation_request> requests;
  for (uint32_t i = 0; i < num_requests; ++i)
    requests.push_back(
      request_for(random_prompt(i, num_prompt), num_answer, 0));
  ask_all(x, requests);
  auto status = settled(x, num_answer * num_requests);
  EXPECT_TRUE(status.takes_requests);
  EXPECT_EQ(status.trouble, "");
  ASSERT_EQ(status.nodes.size(), 1u);
  EXPECT_EQ(status.nodes[0].state, "serving");
  ASSERT_EQ(status.ranks.size(), 2u);
  ASSERT_EQ(status.workers.size(), 4u);
  for (auto& rank : status.ranks) {
    EXPECT_EQ(rank.running + rank.waiting, 0u);
    EXPECT_EQ(rank.kv_blocks_free, rank.kv_blocks);
    EXPECT_GT(rank.steps, 0u);
  }
  // The last token that is drawn is never computed.
  uint64_t rows = num_requests * (num_prompt + num_answer - 1), pairs = 0;
  auto source = checkpoint::open(nano_model());
  auto& config = *source->config();
  ASSERT_EQ(status.layers.size(), config.num_moe_layers());
  for (auto& layer : status.layers) {
    uint64_t of_layer = 0, replicas = 0;
    for (auto& expert : layer.experts) {
      of_layer += expert.rows;
      replicas += expert.replicas.size();
    }
    EXPECT_EQ(of_layer, rows * config.num_experts_per_tok) << layer.layer;
    EXPECT_EQ(replicas, config.n_routed_experts);
    pairs += of_layer;
  }
  uint64_t run = 0;
  for (auto& worker : status.workers)
    run += worker.rows;
  EXPECT_EQ(run, pairs);
}

} // namespace

} // namespace troupe
