#pragma once

/// Many runs of one company in virtual worlds, each of a seed of its own, side
/// by side; and a smaller case for a seed that fails.

#include "actors/simulation.hpp"

namespace troupe {

struct simulation_batch_options {
  /// Of each run. Faults may name "any", which each seed draws. One executor
  /// is made for each run by `make_compute`; empty: nothing is computed.
  simulation_options base;
  std::function<std::shared_ptr<kernels::executor>()> make_compute;
  /// Each seed does some of its own, too; some of them from the start on.
  bool random_faults = false;
  bool twice = false; ///< Each seed runs twice, and has to be the same.
  uint32_t num_threads = 1;
};

class simulation_batch {
public:
  /// With random faults a first run without any tells when there is something
  /// to disturb.
  explicit simulation_batch(simulation_batch_options options);

  /// The run without faults that tells when there is something to disturb, if
  /// it was made and has failed: then the others say little.
  const std::optional<simulation_result>& calm_failure() const {
    return calm_failure_;
  }

  /// What a seed is made of.
  sim_case case_of(uint64_t seed) const;

  /// Whether its faults may begin before the company serves.
  bool breaks_the_start(uint64_t seed) const;

  /// The run of a seed; of another case, if there is one. `on_entry` may be
  /// empty.
  simulation_result run(uint64_t seed, const sim_case& what,
                        trace::observer on_entry = {}) const;

  /// Runs `count` seeds from `first` on; `on_result` is called for each, one
  /// at a time, in whatever order they end.
  void run_all(uint64_t first, uint64_t count,
               const std::function<void(const simulation_result&)>& on_result);

  /// A case that fails as this one of its seed did, smaller if one was found in
  /// `max_runs` runs, of which `progress` hears.
  sim_case
  shrink(const simulation_result& failed, uint32_t max_runs,
         const std::function<void(uint32_t runs)>& progress = {}) const;

private:
  simulation_batch_options options_;
  run_facts facts_;
  std::optional<simulation_result> calm_failure_;
};

} // namespace troupe
