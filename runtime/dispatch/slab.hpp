#pragma once

/// The body of a dispatch frame: what one rank sends to one node in one layer.
/// Layout and meaning: schemas/wire.capnp, DispatchSlab.

#include "runtime/dispatch/placement.hpp"
#include "runtime/dispatch/slab_pool.hpp"
#include "runtime/error.hpp"

#include <memory>
#include <span>
#include <vector>

namespace troupe {

/// What a slab says beside its rows, in bytes at most: for itself, and for each
/// choice of a row.
constexpr uint64_t slab_overhead = 1024;
constexpr uint64_t slab_choice_bytes = 64;

/// A slab being made: the message is written, the rows are still to come.
struct slab_draft {
  body payload;
  std::byte* rows = nullptr; ///< [plan.tokens.size(), row_bytes]
};

/// Claims a slab for `plan` and writes everything but its rows. Error:
/// overloaded if the pool has no room.
result<slab_draft> draft_slab(slab_pool& pool, const slab_plan& plan,
                              uint32_t row_bytes);

/// A slab as its receiver sees it.
struct slab_view {
  std::vector<slab_section> sections;
  std::span<const std::byte> rows; ///< [num_rows, row_bytes]
  uint32_t num_rows = 0;
};

/// Reads and checks a slab: every count, slot and index is in range. Error:
/// invalid_input.
result<slab_view> read_slab(std::span<const std::byte> bytes,
                            uint32_t row_bytes);

} // namespace troupe
