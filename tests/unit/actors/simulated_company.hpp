#pragma once

/// A virtual company with a small real model, whose answers are compared with
/// the plain path's.

#include "actors/simulation_batch.hpp"
#include "runtime/sim/oracle.hpp"
#include "tests/model_files.hpp"

namespace troupe {

inline std::shared_ptr<kernels::executor> cpu() {
  return kernels::make_cpu_executor({});
}

class SimulatedCompany : public testing::Test {
protected:
  /// With the model, little room, and requests as `spec` says. Ranks, workers
  /// and what else the topology has are the caller's.
  simulation_options options_of(topology cluster, const load_spec& spec,
                                uint32_t max_model_len = 128) const {
    simulation_options out;
    cluster.max_model_len = max_model_len;
    cluster.limits.max_num_seqs = 4;
    cluster.limits.step_timeout_ms = 5'000;
    out.company.cluster = std::move(cluster);
    out.company.model = model_;
    out.company.compute = cpu();
    out.what.load = make_load(spec, 1, model_->config().vocab_size);
    oracle_options oracle;
    oracle.max_model_len = out.company.cluster.max_model_len;
    EXPECT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, out.what.load));
    return out;
  }

  /// Two ranks and four workers on as many nodes; each worker has slots that
  /// are empty at first.
  static topology with_slots(uint32_t num_redundant, uint32_t num_spare) {
    auto out = local(4, 2, 4);
    out.limits.max_num_batched_tokens = 16;
    out.limits.num_kv_blocks = 8;
    out.units = out.all_units();
    out.units[0].num_redundant_experts = num_redundant;
    out.units[0].spare_expert_slots = num_spare;
    return out;
  }

  /// The same ranks and workers as two units, of a rank and two workers each:
  /// each node has parts of one, but for the ranks'.
  static void make_two_units(topology& cluster) {
    auto one = cluster.units[0];
    cluster.units = {one, one};
    for (uint32_t u = 0; u < 2; ++u) {
      cluster.units[u].name = u == 0 ? "left" : "right";
      cluster.units[u].ranks = {u};
      cluster.units[u].workers = {2 * u, 2 * u + 1};
    }
  }

  static fault at(virtual_duration when, fault_kind kind,
                  const std::string& node) {
    fault out;
    out.kind = kind;
    out.node = node;
    out.at = when;
    return out;
  }

  static std::string words_of(const simulation_result& x) {
    std::string out;
    for (auto& v : x.violations)
      out += to_string(v) + "\n";
    for (auto& f : x.faults)
      out += f.what + ": " + std::string{to_string(f.outcome)} + " "
             + f.evidence + f.why + "\n";
    for (auto& e : x.last)
      out += to_string(e) + "\n";
    return out;
  }

  std::shared_ptr<shared_model> model_ = *shared_model::open(
    golden_case("v3-fp8"), kernels::make_inline_device(0, cpu()));
};

} // namespace troupe
