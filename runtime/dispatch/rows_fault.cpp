#include "runtime/dispatch/rows_fault.hpp"

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

} // namespace troupe
