/// Companies in a virtual world whose running requests move from rank to rank,
/// far more often than is of use, while nodes die and links break.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Moves as many as it may, each to the next rank.
class restless_policy : public balance::request_policy {
public:
  std::vector<balance::request_move>
  plan(std::span<const balance::decode_rank> ranks,
       std::span<const balance::decode_request> requests) override {
    std::vector<balance::request_move> out;
    for (auto& x : requests)
      out.push_back({x.id, x.rank, uint32_t((x.rank + 1) % ranks.size()),
                     x.kv_tokens, 0, 0});
    return out;
  }
};

class SimulatedRequests : public SimulatedCompany {
protected:
  static std::shared_ptr<request_settings> restless() {
    auto out = std::make_shared<request_settings>();
    out->interval = 2ms;
    out->rest = 3ms;
    out->patience = 500ms;
    out->least_left = 1;
    out->policy = std::make_shared<restless_policy>();
    return out;
  }

  /// A front, three nodes with a rank each, r0 to r2, and one with workers.
  simulation_options options(uint32_t num_requests = 16) const {
    topology cluster;
    cluster.nodes = {{"front", "127.0.0.1", true, true, false, {}, {}}};
    for (uint32_t i = 0; i < 3; ++i)
      cluster.nodes.push_back(
        {"r" + std::to_string(i), "127.0.0.1", false, false, false, {i}, {}});
    cluster.nodes.push_back(
      {"experts", "127.0.0.1", false, false, false, {}, {0, 1}});
    cluster.limits.max_num_batched_tokens = 48;
    cluster.limits.num_kv_blocks = 24;
    cluster.limits.moving_requests = true;
    load_spec spec;
    spec.requests = num_requests;
    spec.least_prompt = 20;
    spec.most_prompt = 90;
    spec.least_output = 8;
    spec.most_output = 30;
    auto out = options_of(std::move(cluster), spec);
    out.company.moving = restless();
    return out;
  }

  static fault kill(virtual_duration when, const std::string& node,
                    virtual_duration lasts = {}) {
    auto out = at(when, fault_kind::kill, node);
    out.lasts = lasts;
    out.must_happen = false;
    return out;
  }
};

TEST_F(SimulatedRequests, MoveWithTheirBlocksAndChangeNoToken) {
  for (uint32_t lanes = 1; lanes <= 2; ++lanes) {
    auto all = options();
    all.company.cluster.limits.micro_batches = lanes;
    auto out = simulate(lanes, all);
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 16u);
    EXPECT_GT(out.num_balanced, 16u) << "some go several times";
    EXPECT_GT(out.num_handed_blocks, 0u);
    EXPECT_FALSE(out.reached.has(sometimes::request_moved));
  }
}

/// At every time of a run.
TEST_F(SimulatedRequests, GoOnWhoeverDiesWhenever) {
  auto calm = simulate(1, options());
  ASSERT_TRUE(calm.holds()) << words_of(calm);
  uint64_t seed = 100, num_moved = 0;
  for (auto name : {"r0", "r1", "r2"})
    for (int i = 0; i < 8; ++i) {
      auto all = options();
      auto again = i % 2 == 0 ? 200ms : 0ms; // 0: never
      all.what.faults = {kill(calm.length * i / 8, name, again)};
      auto out = simulate(++seed, all);
      SCOPED_TRACE("seed " + std::to_string(seed));
      EXPECT_TRUE(out.holds()) << words_of(out);
      EXPECT_EQ(out.requests.completed, 16u);
      num_moved += out.reached.has(sometimes::request_moved);
    }
  EXPECT_GT(num_moved, 0u);
}

TEST_F(SimulatedRequests, HoldThroughFaultsOfAllKinds) {
  simulation_batch_options options;
  options.base = this->options();
  auto& load = options.base.what.load.requests;
  load[3].cancel_after_tokens = 2;
  load[4].cancel_after_tokens = 7;
  load[5].cancel_after = 5ms;
  load[6].cancel_after = 20ms;
  options.make_compute = cpu;
  options.random_faults = true;
  auto& faults = options.base.what.faults;
  faults.push_back(kill(10ms, std::string{any_name}));
  faults.back().p = 0.5;
  simulation_batch batch{options};
  uint64_t num_balanced = 0;
  for (uint64_t seed = 1000; seed < 1032; ++seed) {
    auto out = batch.run(seed, batch.case_of(seed));
    EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
    num_balanced += out.num_balanced;
  }
  EXPECT_GT(num_balanced, 0u);
}

/// By the balancer itself, as ranks learn what their steps take: every third
/// answer is long, and by the order of requests all of these are at one rank.
TEST_F(SimulatedRequests, GoToWhoHasLessToDo) {
  auto all = options(12);
  all.what.load.streams = 0;
  auto& load = all.what.load.requests;
  for (size_t i = 0; i < load.size(); ++i) {
    load[i].arrival = 1ms * i;
    load[i].request.prompt.resize(16);
    load[i].request.max_tokens = i % 3 == 0 ? 100 : 8;
    load[i].request.ignore_eos = true;
  }
  oracle_options oracle;
  oracle.max_model_len = all.company.cluster.max_model_len;
  ASSERT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, all.what.load));
  // What they take is told once a second.
  all.company.parts.device.per_kernel = 200e-6;
  all.company.parts.device.set_flops(2e7);
  auto moving = std::make_shared<request_settings>();
  moving->interval = 50ms;
  moving->least_left = 4;
  all.company.moving = moving;
  auto out = simulate(5, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 12u);
  EXPECT_GE(out.num_balanced, 2u);
  EXPECT_LE(out.num_balanced, 4u) << "each once";
  all.company.moving = nullptr;
  auto without = simulate(5, all);
  EXPECT_EQ(without.num_balanced, 0u);
  EXPECT_LT(out.length, without.length);
}

} // namespace
