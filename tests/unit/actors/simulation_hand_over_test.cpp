/// Companies in a virtual world in which some ranks prefill and others decode,
/// while nodes die and links break.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedHandOver : public SimulatedCompany {
protected:
  /// A front; a node for each rank, p0, p1, ... and d0, d1, ...; and one with
  /// the workers, one for each unit of one rank.
  static topology company_of(uint32_t num_prefill, uint32_t num_decode) {
    topology out;
    out.nodes = {{"front", "127.0.0.1", true, true, false, {}, {}}};
    std::vector<uint32_t> workers;
    for (uint32_t i = 0; i < num_prefill + num_decode; ++i) {
      auto prefills = i < num_prefill;
      topology_unit unit;
      unit.name = prefills ? "p" + std::to_string(i)
                           : "d" + std::to_string(i - num_prefill);
      unit.role = prefills ? unit_role::prefill : unit_role::decode;
      unit.ranks = unit.workers = {i};
      out.nodes.push_back(
        {unit.name, "127.0.0.1", false, false, false, {i}, {}});
      out.units.push_back(std::move(unit));
      workers.push_back(i);
    }
    out.nodes.push_back(
      {"experts", "127.0.0.1", false, false, false, {}, workers});
    return out;
  }

  simulation_options options(uint32_t num_prefill, uint32_t num_decode,
                             uint32_t num_requests = 12) {
    auto cluster = company_of(num_prefill, num_decode);
    cluster.limits.max_num_batched_tokens = 32;
    cluster.limits.num_kv_blocks = 12;
    load_spec spec;
    spec.requests = num_requests;
    spec.least_prompt = 20;
    spec.most_prompt = 112;
    spec.most_output = 12;
    spec.least_output = 2;
    return options_of(std::move(cluster), spec);
  }

  static fault kill(virtual_duration when, const std::string& node,
                    virtual_duration lasts = {}) {
    auto out = at(when, fault_kind::kill, node);
    out.lasts = lasts;
    out.must_happen = false;
    return out;
  }
};

TEST_F(SimulatedHandOver, ChangesNoToken) {
  uint64_t seed = 1;
  for (auto [p, d] : {std::pair{1, 1}, {2, 1}, {1, 2}})
    for (uint32_t lanes = 1; lanes <= 2; ++lanes) {
      auto all = options(p, d);
      all.company.cluster.limits.micro_batches = lanes;
      auto out = simulate(seed++, all);
      SCOPED_TRACE(std::to_string(p) + "P" + std::to_string(d) + "D");
      EXPECT_TRUE(out.holds()) << words_of(out);
      EXPECT_EQ(out.requests.completed, 12u);
      EXPECT_EQ(out.num_handed_over, 12u);
      EXPECT_GT(out.num_handed_blocks, 0u);
      EXPECT_FALSE(out.reached.has(sometimes::request_moved));
    }
}

/// A prompt that is one step: what of it goes to the other rank begins to leave
/// before the step's last rows have.
TEST_F(SimulatedHandOver, LayersLeaveBeforeTheStepHasEnded) {
  for (uint32_t lanes = 1; lanes <= 2; ++lanes) {
    auto all = options(1, 1, 1);
    auto& cluster = all.company.cluster;
    cluster.limits.max_num_batched_tokens = 128;
    cluster.limits.micro_batches = lanes;
    all.what.load.requests[0].request.prompt.resize(100, 7);
    oracle_options oracle;
    oracle.max_model_len = cluster.max_model_len;
    ASSERT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, all.what.load));
    virtual_instant first_bytes{}, last_rows{};
    all.on_entry = [&](const trace_entry& x) {
      if (x.kind != trace_kind::frame_sent || x.node != 1) // p0
        return;
      if (x.frame == frame_class::bulk && first_bytes == virtual_instant{})
        first_bytes = x.at;
      if (x.frame == frame_class::dispatch)
        last_rows = x.at;
    };
    auto out = simulate(lanes, all);
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.num_handed_blocks, 1u);
    ASSERT_NE(first_bytes, virtual_instant{});
    EXPECT_LT(first_bytes, last_rows);
  }
}

/// At every time of a run.
TEST_F(SimulatedHandOver, GoesOnWhoeverDiesWhenever) {
  auto calm = simulate(1, options(2, 2));
  ASSERT_TRUE(calm.holds()) << words_of(calm);
  uint64_t seed = 100, num_moved = 0;
  for (auto name : {"p0", "d0", "d1"})
    for (int i = 0; i < 8; ++i) {
      auto all = options(2, 2);
      auto again = i % 2 == 0 ? 200ms : 0ms; // 0: never
      all.what.faults = {kill(calm.length * i / 8, name, again)};
      auto out = simulate(++seed, all);
      SCOPED_TRACE("seed " + std::to_string(seed));
      EXPECT_TRUE(out.holds()) << words_of(out);
      EXPECT_EQ(out.requests.completed, 12u);
      num_moved += out.reached.has(sometimes::request_moved);
    }
  EXPECT_GT(num_moved, 0u);
}

TEST_F(SimulatedHandOver, WhoIsLeftDoesAll) {
  for (auto name : {"p0", "d0"}) {
    auto all = options(1, 1);
    all.what.faults = {kill(1ms, name)};
    all.what.faults[0].must_happen = true;
    auto out = simulate(7, all);
    SCOPED_TRACE(name);
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 12u) << "nobody is refused";
  }
}

TEST_F(SimulatedHandOver, HoldsThroughFaultsOfAllKinds) {
  uint64_t seed = 1000, num_handed_over = 0;
  for (auto [p, d] : {std::pair{1, 1}, {2, 1}}) {
    simulation_batch_options options;
    options.base = this->options(p, d);
    auto& load = options.base.what.load.requests;
    load[3].cancel_after_tokens = 0;
    load[4].cancel_after_tokens = 1;
    load[5].cancel_after = 2ms;
    load[6].cancel_after = 5ms;
    options.make_compute = cpu;
    options.random_faults = true;
    auto& faults = options.base.what.faults;
    faults.push_back(kill(3ms, std::string{any_name}));
    faults.back().p = 0.5;
    simulation_batch batch{options};
    for (int i = 0; i < 16; ++i, ++seed) {
      auto out = batch.run(seed, batch.case_of(seed));
      EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
      num_handed_over += out.num_handed_over;
    }
  }
  EXPECT_GT(num_handed_over, 0u);
}

} // namespace
