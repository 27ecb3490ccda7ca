#pragma once

/// Why rows were not run. The numbers travel (schemas/wire.capnp).

#include <cstdint>

namespace troupe {

enum class rows_fault : uint8_t {
  damaged_slab = 1,
  unknown_worker, ///< No worker of that number is on the node.
  unknown_layer,  ///< Or one without experts.
  unknown_epoch,
  unknown_slot,
  other_occupant, ///< The slot holds another expert.
  too_many_rows,  ///< More than one run takes.
  no_memory,
  failed_run,
  num_faults,
};

/// The fault as a clause: "the slot holds another expert".
const char* to_string(rows_fault x);

/// Whether the rows may be run after all, by a newer placement: what they were
/// planned with is not what is there.
constexpr bool is_of_placement(rows_fault x) {
  return x == rows_fault::unknown_epoch || x == rows_fault::unknown_slot
         || x == rows_fault::other_occupant;
}

} // namespace troupe
