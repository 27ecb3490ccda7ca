#include "deploy/fault_switch.hpp"

namespace troupe {

bool has_live_faults() {
#ifdef TROUPE_FAULTS
  return true;
#else
  return false;
#endif
}

} // namespace troupe
