#pragma once

/// A smaller case that still fails: what people have to read is short.

#include "runtime/sim/fault.hpp"
#include "runtime/sim/request_load.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace troupe {

/// What a run is made of, beside its seed.
struct sim_case {
  std::vector<fault> faults; ///< Their targets are drawn, see draw_targets.
  client_load load;
};

class shrinker {
public:
  /// Whether a run of this case fails. Must give the same for the same case.
  using predicate = std::function<bool(const sim_case&)>;

  /// Asks `still_fails` at most `max_runs` times.
  shrinker(predicate still_fails, uint32_t max_runs);

  /// `failing` is known to fail; so does what is returned, which is `failing`
  /// itself if nothing smaller was found. Drops faults, then requests, then
  /// what is asked for, then shortens faults, until nothing helps any more.
  sim_case shrink(sim_case failing);

  uint32_t num_runs() const {
    return num_runs_;
  }

private:
  /// Makes a case smaller; says whether there was anything to make smaller.
  using change = std::function<bool(sim_case&)>;

  /// Takes `x` if it fails.
  bool take(sim_case& best, sim_case x);
  /// Makes it smaller again and again while it fails.
  bool take_while(sim_case& best, const change& smaller);
  bool is_spent() const {
    return num_runs_ >= max_runs_;
  }

  /// Leaves out as many of `count(best)` items as it can, halves first.
  bool drop(sim_case& best, const std::function<size_t(const sim_case&)>& count,
            const std::function<sim_case(const sim_case&, size_t first,
                                         size_t size)>& without);
  bool shorten_requests(sim_case& best);
  bool simplify_requests(sim_case& best);
  bool shorten_faults(sim_case& best);

  predicate still_fails_;
  const uint32_t max_runs_;
  uint32_t num_runs_ = 0;
};

} // namespace troupe
