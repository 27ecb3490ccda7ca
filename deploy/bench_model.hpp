#pragma once

/// What `troupe bench model` measures: prompts and steady decoding, through
/// the actors in one process and through the plain path, beside what the
/// machine gives in the same minute. Rounds go over all cases, each preceded
/// by a probe of the memory, so that a busy neighbour disturbs all alike.

#include "deploy/bench_runs.hpp"
#include "kernels/cpu/probe.hpp"
#include "runtime/model/work.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct bench_options {
  std::string model;
  std::vector<uint32_t> prompts{512, 2048};
  std::vector<uint32_t> depths{0, 1024, 4096};
  std::vector<uint32_t> batches{1, 8, 32};
  uint32_t rounds = 3;
  uint32_t num_steps = 64; ///< Of decoding, timed.
  uint32_t num_threads = 1;
  uint32_t chunk = 512; ///< Rows of a step at most.
  precision activations = precision::fp8;
  bool with_plain = true; ///< It holds the weights a second time.
};

/// One engine in one case; an element for each round.
struct bench_series {
  std::vector<double> seconds; ///< Of a run.
  std::vector<double> floors;  ///< What the run's work takes at best.

  double median_seconds() const;
  /// The median over rounds of floor / time, in per cent.
  double roofline_percent() const;
};

struct bench_case {
  uint32_t prompt = 0; ///< Prefill: its length; otherwise 0.
  uint32_t depth = 0;  ///< Decode: tokens of each prompt, 0 meaning 1.
  uint32_t batch = 1;
  double tokens = 0;         ///< Of a run, all sequences.
  double steps = 0;          ///< Passes through the model.
  step_work work;            ///< Of a run.
  bool memory_bound = false; ///< Which limit the floor is.
  bench_series actors;
  bench_series plain; ///< Empty without it.

  bool is_prefill() const {
    return prompt > 0;
  }

  /// "prefill 512", "decode, depth 1024, batch 8"
  std::string name() const;
};

/// What it took until the actors were ready.
struct bench_load {
  double seconds = 0;
  uint64_t bytes = 0;      ///< Of the checkpoint's tensors.
  uint64_t peak_bytes = 0; ///< Most memory that loading added, file pages too.
};

struct bench_report {
  bench_options options;
  std::string target; ///< Of the device, e.g. "cpu/avx512-bf16".
  uint32_t num_moe_layers = 0;
  kernels::machine_rates machine; ///< Medians, of what is used.
  bench_load load;
  std::vector<bench_case> cases;
};

/// Probes the machine alone.
kernels::machine_rates probe_machine(uint32_t num_threads, const clock& time);

/// Measures all cases; says on standard error how far it is. Errors: what
/// loading and running may say; context_too_long if the model has no room for
/// a case.
result<bench_report> bench_model(const bench_options& options,
                                 const clock& time);

/// The middle of `values`, the upper one of two; 0 of none.
double median(std::vector<double> values);

} // namespace troupe
