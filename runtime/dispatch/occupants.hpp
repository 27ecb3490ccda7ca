#pragma once

/// What the slots of a worker answer for. A rank plans with the placement of
/// some epoch, which may not be the worker's newest: rows say by which epoch
/// they were planned and which expert they want in which slot, and a slot
/// answers for no other. A plain class.

#include "runtime/dispatch/placement.hpp"

#include <optional>
#include <string>

namespace troupe {

/// Why rows were not run. The numbers travel (schemas/wire.capnp).
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

/// The fault as a clause: "its slot holds another expert".
const char* to_string(rows_fault x);

class occupants {
public:
  occupants() = default;

  /// Of `worker` by `map`. Layers are the model's, of which the first
  /// `num_dense` have no experts.
  occupants(const placement& map, worker_id worker, uint32_t num_dense);

  /// Says why the worker cannot run `rows`; nothing if it can. Rows of an
  /// epoch from the oldest that is not retired to the newest known and one
  /// more are judged by slot and occupant.
  std::optional<rows_fault> judge(uint32_t epoch, uint32_t layer,
                                  const slab_section& rows) const;

private:
  uint32_t oldest_ = 0; ///< Epochs.
  uint32_t newest_ = 0;
  uint32_t num_dense_ = 0;
  std::vector<std::vector<uint32_t>> experts_; ///< [moe layer][slot]
};

} // namespace troupe
