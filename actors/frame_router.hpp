#pragma once

/// Where frames end: on the transport's thread every frame is given to the
/// actor that it is for. Splits dispatch slabs by worker without copying.

#include "actors/directory.hpp"
#include "runtime/log.hpp"

namespace troupe {

class frame_router {
public:
  frame_router(std::shared_ptr<directory> here, const logger& log)
    : here_(std::move(here)), log_(&log) {
  }

  void route(node_id from, frame&& x) const;

private:
  void route_piece(const cast_list& list, node_id from, frame&& x) const;
  void route_slab(const cast_list& list, node_id from, const frame& x) const;

  std::shared_ptr<directory> here_;
  const logger* log_;
};

} // namespace troupe
