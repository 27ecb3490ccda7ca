#pragma once

/// Which rank reads a prompt: the one that has read it first, behind the
/// prompts that it has to read, from the longest beginning that it is likely to
/// have. By prefill_balancer, at the prices that ranks have learnt. A plain
/// class.

#include "runtime/balance/prefill_balancer.hpp"
#include "runtime/cluster/part_loads.hpp"
#include "runtime/cluster/prefix_hints.hpp"
#include "runtime/cluster/request_journal.hpp"
#include "runtime/topology.hpp"

#include <map>
#include <optional>

namespace troupe {

class prompt_placement {
public:
  explicit prompt_placement(const topology& cluster);

  /// What ranks say that reading takes.
  void hear(const part_loads& x);

  /// Those of `usable` (not empty) that have read the prompt of `what` first,
  /// or no later than what a block takes; all before prices are known.
  std::vector<rank_id> best_of(const std::vector<rank_id>& usable,
                               const generation_request& what,
                               const request_journal& journal);

  /// A rank has been given a request under that term, whose answer has not
  /// begun.
  void given(request_id id, const request_journal& journal);

  /// What it had read is gone.
  void lost(rank_id rank) {
    hints_.forget(rank);
  }

private:
  /// A prompt that is being read, or waits for that.
  struct reading {
    rank_id rank = 0;
    uint32_t term = 0;
    uint32_t cached = 0; ///< Tokens.
    uint32_t tokens = 0;
  };

  std::optional<balance::prefill_prices> price() const;
  void forget_read(const request_journal& journal);

  prefix_hints hints_;
  std::map<rank_id, balance::prefill_prices> prices_;
  std::map<request_id, reading> readings_;
};

} // namespace troupe
