#include "runtime/transport/frame_order.hpp"

namespace troupe {

uint16_t frame_order::number(frame_class kind) {
  if (kind == frame_class::hello)
    return 0;
  return next_out_[size_t(lane_of(kind))]++;
}

frame_order::verdict frame_order::decide(const frame_header& header) {
  if (header.kind == frame_class::hello)
    return verdict::repeated;
  auto& next = next_in_[size_t(lane_of(header.kind))];
  auto ahead = int16_t(uint16_t(header.sequence - next));
  if (ahead != 0)
    return ahead > 0 ? verdict::gap : verdict::repeated;
  ++next;
  return verdict::take;
}

} // namespace troupe
