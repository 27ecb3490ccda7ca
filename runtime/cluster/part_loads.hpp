#pragma once

/// What the parts of a node have counted, at one moment: see part_counts.

#include "runtime/dispatch/placement.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

struct node_parts;

struct rank_load {
  rank_id rank = 0;
  uint64_t running = 0;
  uint64_t waiting = 0;
  uint64_t kv_blocks_free = 0;
  uint64_t kv_blocks_cached = 0;
  uint64_t steps = 0;
  uint64_t tokens = 0;
  uint64_t step_ps = 0;
  uint64_t request_ps = 0;
  uint64_t kv_token_ps = 0;
  uint64_t prompt_token_ps = 0;
  uint64_t prompt_pair_ps = 0;

  friend bool operator==(const rank_load&, const rank_load&) = default;
};

struct worker_load {
  worker_id worker = 0;
  uint64_t runs = 0;
  uint64_t rows = 0;

  friend bool operator==(const worker_load&, const worker_load&) = default;
};

struct part_loads {
  std::vector<rank_load> ranks;
  std::vector<worker_load> workers;
  /// [units * moe layers * experts]: rows of the node's ranks that chose each;
  /// shorter where units behind have no ranks.
  std::vector<uint64_t> expert_rows;

  friend bool operator==(const part_loads&, const part_loads&) = default;
};

part_loads loads_of(const node_parts& parts);

} // namespace troupe
