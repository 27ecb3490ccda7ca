/// Companies in a virtual world whose caches are small, so that beginnings are
/// found in host memory, while nodes die.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedKeeper : public SimulatedCompany {
protected:
  /// Four prompts, asked again and again, at two ranks whose caches have room
  /// for some of them; `blocks` of host memory at each.
  simulation_options options(uint64_t blocks, uint32_t lanes) const {
    load_spec spec;
    spec.streams = 2;
    spec.requests = 24;
    spec.least_prompt = 66;
    spec.most_prompt = 90;
    spec.least_output = 4;
    spec.most_output = 12;
    return options(blocks, lanes, spec, 3, 4);
  }

  /// A request may take all blocks of a rank but one. Of some requests the
  /// first `num_prompts` say what they ask; 0: all.
  simulation_options options(uint64_t blocks, uint32_t lanes,
                             const load_spec& spec, uint32_t num_kv_blocks,
                             size_t num_prompts = 0) const {
    topology cluster;
    cluster.nodes = {{"front", "127.0.0.1", true, true, false, {}, {}},
                     {"r0", "127.0.0.1", false, false, false, {0}, {}},
                     {"r1", "127.0.0.1", false, false, false, {1}, {}},
                     {"experts", "127.0.0.1", false, false, false, {}, {0, 1}}};
    cluster.limits.max_num_batched_tokens = 48;
    cluster.limits.num_kv_blocks = num_kv_blocks;
    cluster.limits.micro_batches = lanes;
    auto out = options_of(std::move(cluster), spec, 64 * (num_kv_blocks - 1));
    auto& all = out.what.load.requests;
    for (size_t i = 0; i < all.size() && num_prompts > 0; ++i)
      all[i].request.prompt = all[i % num_prompts].request.prompt;
    oracle_options oracle;
    oracle.max_model_len = out.company.cluster.max_model_len;
    EXPECT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, out.what.load));
    auto bytes = kv_pool::block_bytes(model_->config(),
                                      out.company.cluster.activations);
    out.company.kv_host_bytes = blocks * bytes;
    return out;
  }
};

} // namespace

TEST_F(SimulatedKeeper, FindsBeginningsInHostMemoryAndChangesNoToken) {
  for (uint32_t lanes = 1; lanes <= 2; ++lanes)
    for (uint64_t blocks : {2, 16}) {
      auto out = simulate(lanes, options(blocks, lanes));
      EXPECT_TRUE(out.holds()) << words_of(out);
      EXPECT_EQ(out.requests.completed, 24u);
      // Prompts in turn find nothing where there is room for fewer.
      EXPECT_TRUE(out.num_host_hits > 0 || blocks == 2);
    }
  EXPECT_EQ(simulate(1, options(0, 1)).num_host_hits, 0u);
}

/// Nobody begins as another one did: what is found was one's own.
TEST_F(SimulatedKeeper, WhoGaveItsBlocksBackFindsThemInHostMemory) {
  load_spec spec;
  spec.streams = 6;
  spec.requests = 10;
  spec.least_prompt = 66;
  spec.most_prompt = 90;
  spec.least_output = 90;
  spec.most_output = 120;
  for (uint32_t lanes = 1; lanes <= 2; ++lanes) {
    auto all = options(64, lanes, spec, 6);
    auto out = simulate(lanes, all);
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 10u);
    EXPECT_GT(out.num_host_hits, 0u);
  }
}

TEST_F(SimulatedKeeper, TheSameSeedGivesTheSameRun) {
  auto all = options(4, 1);
  EXPECT_EQ(simulate(3, all).trace_hash, simulate(3, all).trace_hash);
}

/// With the node of a rank its host memory goes, too.
TEST_F(SimulatedKeeper, WhoDiesTakesItsBlocksWithIt) {
  auto all = options(16, 1);
  auto quiet = simulate(5, all);
  for (int i = 1; i <= 6; ++i) {
    auto die = at(quiet.started + quiet.length * i / 7, fault_kind::kill,
                  i % 2 ? "r0" : "r1");
    die.lasts = 5ms;
    die.must_happen = false;
    all.what.faults = {die};
    auto out = simulate(5, all);
    EXPECT_TRUE(out.holds()) << i << "\n" << words_of(out);
    EXPECT_EQ(out.requests.completed, 24u);
  }
}
