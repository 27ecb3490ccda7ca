#pragma once

/// What a rank's own times say of what requests cost there, told to whoever
/// moves them.

#include "runtime/batching/step_book.hpp"
#include "runtime/cluster/part_counts.hpp"

namespace troupe {

inline void tell_prices(const rank_times& prices, rank_counts& to) {
  auto ps = [](double seconds) { return uint64_t(seconds * 1e12); };
  if (auto x = prices.decoding()) {
    to.step_ps.set(ps(x->step));
    to.request_ps.set(ps(x->each.request));
    to.kv_token_ps.set(ps(x->each.kv_token));
  }
  if (auto x = prices.prompts()) {
    to.prompt_token_ps.set(ps(x->token));
    to.prompt_pair_ps.set(ps(x->pair));
  }
}

} // namespace troupe
