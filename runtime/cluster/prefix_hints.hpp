#pragma once

/// Which beginnings of prompts each rank is likely to have in its cache, by
/// what it was given: for choosing a rank, so that a mistake costs time and
/// nothing else. A plain class.

#include "runtime/dispatch/placement.hpp"
#include "runtime/service.hpp"

#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Names of the full blocks of a prompt, each with all that is before it.
std::vector<uint64_t> prefix_names(const generation_request& x);

class prefix_hints {
public:
  /// Of each rank the `most` blocks are remembered that it was given last.
  prefix_hints(uint32_t num_ranks, uint32_t most);

  /// It computes these, or has them.
  void note(rank_id rank, const std::vector<uint64_t>& names);

  /// Tokens of the beginning that it has.
  uint32_t found(rank_id rank, const std::vector<uint64_t>& names) const;

  /// All that it had is gone.
  void forget(rank_id rank);

private:
  struct memory {
    std::list<uint64_t> order; ///< The latest first.
    std::unordered_map<uint64_t, std::list<uint64_t>::iterator> at;
  };

  const uint32_t most_;
  std::vector<memory> ranks_;
};

} // namespace troupe
