#pragma once

/// Who gives a frame that he sends a destination means that process and no
/// successor of it: to another one it does not go. Without one whoever is that
/// node at the moment gets it.

#include "runtime/transport/frame.hpp"

namespace troupe {

/// Whether a frame that is to be sent may go to this process.
inline bool is_meant(const frame_header& x, uint64_t incarnation) {
  return x.destination == 0 || x.destination == incarnation;
}

} // namespace troupe
