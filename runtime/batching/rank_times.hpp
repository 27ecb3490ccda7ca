#pragma once

/// What a step of a rank takes: at least, for each request that decodes and
/// each of its tokens in the cache, for each token of a prompt and each that it
/// attends to. Learnt from steps that have ended; what is old counts less and
/// less. A plain class, told of the time.

#include "runtime/balance/decode_balancer.hpp"
#include "runtime/balance/prefill_balancer.hpp"
#include "runtime/clock.hpp"
#include "runtime/cost/running_fit.hpp"
#include "runtime/model/batch.hpp"

#include <optional>

namespace troupe {

class rank_times {
public:
  /// What a step has. Who has one row in it decodes.
  struct load {
    uint32_t requests = 0;
    uint64_t kv_tokens = 0;
    uint64_t prompt_tokens = 0;
    double pairs = 0; ///< Of a prompt's tokens and those they attend to.
  };

  static load load_of(const batch& rows);

  /// A step of that load has taken so long, without what others have taken that
  /// were out meanwhile.
  void add(const load& x, clock::instant::duration took);

  struct decode_part {
    double step = 0; ///< Seconds, whatever it has.
    balance::decode_prices each;
  };

  /// Nothing if steps have not shown yet what they take.
  std::optional<decode_part> decoding() const;
  std::optional<balance::prefill_prices> prompts() const;

private:
  running_fit decoding_;
  running_fit prompts_; ///< What is left beside those who decode.
};

} // namespace troupe
