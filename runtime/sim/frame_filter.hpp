#pragma once

/// Which frames a fault of a link is about.

#include <cstdint>

namespace troupe {

enum class frame_filter : uint8_t {
  all,
  rows,
  control, ///< The lane; heartbeats and the meeting of peers are in it.
  bulk,
  heartbeat, ///< Of cut and clog: none is sent. Others keep their order.
};

} // namespace troupe
