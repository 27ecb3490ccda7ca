#pragma once

/// What a step of those who decode takes: at least, for each of them, and for
/// each of their tokens in the cache. Learnt from steps that have ended; what
/// is old counts less and less. A plain class, told of the time.

#include "runtime/balance/decode_balancer.hpp"
#include "runtime/clock.hpp"
#include "runtime/cost/running_fit.hpp"
#include "runtime/model/batch.hpp"

#include <optional>

namespace troupe {

class decode_times {
public:
  struct load {
    uint32_t requests = 0; ///< 0: somebody reads a prompt.
    uint64_t kv_tokens = 0;
  };

  /// Of a step.
  static load load_of(const batch& rows);

  /// A step of that load has taken so long. Passed over without requests.
  void add(const load& x, clock::instant::duration took);

  struct prices {
    double step = 0; ///< Seconds, whatever it has.
    balance::decode_prices each;
  };

  /// Nothing if steps have not shown yet what they take.
  std::optional<prices> per_part() const;

private:
  running_fit fit_;
};

} // namespace troupe
