#include "runtime/transfer/transfer.hpp"

namespace troupe {

const char* to_string(transfer_end x) {
  switch (x) {
    case transfer_end::none:
      return "none";
    case transfer_end::completed:
      return "completed";
    case transfer_end::cancelled:
      return "cancelled";
    case transfer_end::source_gone:
      return "source_gone";
    case transfer_end::target_gone:
      return "target_gone";
    case transfer_end::expired:
      return "expired";
    case transfer_end::failed:
      return "failed";
  }
  return "";
}

} // namespace troupe
