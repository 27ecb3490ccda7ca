#pragma once

/// Which frames a fault of a link, or its emulation, is about.

#include "runtime/transport/frame.hpp"

namespace troupe {

enum class frame_filter : uint8_t {
  all,
  rows,
  control, ///< The lane; heartbeats and the meeting of peers are in it.
  bulk,
  heartbeat, ///< Of cut and clog: none is sent. Others keep their order.
};

/// Whether that is all frames of a lane, but perhaps heartbeats.
constexpr bool is_about(frame_filter which, lane x) {
  switch (which) {
    case frame_filter::all:
      return true;
    case frame_filter::control:
      return x == lane::control;
    case frame_filter::rows:
      return x == lane::rows;
    case frame_filter::bulk:
      return x == lane::bulk;
    case frame_filter::heartbeat:
      break;
  }
  return false;
}

} // namespace troupe
