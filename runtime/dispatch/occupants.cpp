#include "runtime/dispatch/occupants.hpp"

#include "kernels/check.hpp"

namespace troupe {

const char* to_string(rows_fault x) {
  switch (x) {
    case rows_fault::damaged_slab:
      return "they came in a damaged slab";
    case rows_fault::unknown_worker:
      return "there is no such worker on the node";
    case rows_fault::unknown_layer:
      return "the layer has no experts there";
    case rows_fault::unknown_epoch:
      return "they were planned with a placement that is over or unknown";
    case rows_fault::unknown_slot:
      return "there is no such slot";
    case rows_fault::other_occupant:
      return "the slot holds another expert";
    case rows_fault::too_many_rows:
      return "they are more than it takes at once";
    case rows_fault::no_memory:
      return "it has no memory for the answers";
    case rows_fault::failed_run:
      return "its device failed";
    case rows_fault::num_faults:
      break;
  }
  CHECK(false);
  return "";
}

occupants::occupants(const placement& map, worker_id worker, uint32_t num_dense)
  : oldest_(map.epoch()), newest_(map.epoch()), num_dense_(num_dense),
    experts_(map.experts_of(worker)) {
}

std::optional<rows_fault> occupants::judge(uint32_t epoch, uint32_t layer,
                                           const slab_section& rows) const {
  if (layer < num_dense_ || layer - num_dense_ >= experts_.size())
    return rows_fault::unknown_layer;
  if (epoch < oldest_ || epoch > uint64_t{newest_} + 1)
    return rows_fault::unknown_epoch;
  auto& here = experts_[layer - num_dense_];
  CHECK(rows.experts.size() == rows.slots.size());
  for (size_t i = 0; i < rows.slots.size(); ++i) {
    auto slot = rows.slots[i].slot;
    if (slot >= here.size())
      return rows_fault::unknown_slot;
    if (here[slot] != rows.experts[i])
      return rows_fault::other_occupant;
  }
  return std::nullopt;
}

} // namespace troupe
