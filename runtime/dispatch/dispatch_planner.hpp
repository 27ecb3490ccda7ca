#pragma once

/// Plans what a rank sends where, one dispatch after the other, in memory that
/// it keeps: a plan takes none if there has been one before it with as many
/// rows in a piece and with as many slabs and sections. A plain class.

#include "runtime/dispatch/placement.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

class dispatch_planner {
public:
  /// `map` outlives this. More than `max_rows` rows go in pieces, each a
  /// dispatch of its own: no slab has more rows than that.
  dispatch_planner(const placement& map, uint32_t top_k, rank_id rank = 0,
                   uint32_t max_rows = UINT32_MAX);

  /// From now on it plans with `map`, which outlives this as well.
  void set_map(const placement& map) {
    map_ = &map;
  }

  /// Sorts the choices of a batch by node, worker and slot. Rows of one slot
  /// keep the order of the batch. `experts` are [rows, top_k] logical ids,
  /// `positions` [rows] of the rows in their sequences: of several replicas
  /// that of the turn position + rank + layer answers. `plan` is replaced, and
  /// what it was made of is used again. Returns whether there is one: not if an
  /// expert that was chosen is waiting.
  [[nodiscard]] bool plan(uint32_t moe_layer, std::span<const int32_t> experts,
                          std::span<const uint32_t> positions,
                          dispatch_plan& plan);

private:
  /// One (row, choice) pair on its way to a slot.
  struct assignment {
    slot_address slot;
    uint32_t choice = 0; ///< row * top_k + i
    uint16_t expert = 0; ///< Logical.
  };

  void take_apart(dispatch_plan& plan);
  void make_room_for(const dispatch_plan& plan);
  [[nodiscard]] bool sort(uint32_t moe_layer, std::span<const int32_t> experts,
                          std::span<const uint32_t> positions, uint32_t first);
  void add_piece(dispatch_plan& plan, uint32_t first);
  void add_slab(dispatch_plan& plan, node_id node, uint32_t first);
  void add_to_slab(slab_plan& slab, const assignment& x, uint32_t& row);
  void add_section(slab_plan& slab, worker_id worker);

  const placement* map_;
  const uint32_t top_k_;
  const rank_id rank_;
  const uint32_t max_rows_;
  std::vector<assignment> sorted_;     ///< Of the piece at hand.
  size_t most_ = 0;                    ///< Choices of the largest piece yet.
  std::vector<uint32_t> row_of_token_; ///< In the slab at hand; of the piece.
  std::vector<slab_plan> slabs_;       ///< To be used again; empty ones.
  std::vector<slab_section> sections_; ///< The same.
};

} // namespace troupe
