#include "runtime/transport/frame_order.hpp"

#include "runtime/planted.hpp"

#include <utility>

namespace troupe {

namespace {

/// Of lanes other than control, how far left they are in an announcement.
constexpr std::pair<lane, int> announced_lanes[] = {{lane::rows, 0},
                                                    {lane::bulk, 32}};

} // namespace

uint16_t frame_order::number(frame_class kind) {
  if (kind == frame_class::hello)
    return 0;
  return uint16_t(next_out_[size_t(lane_of(kind))]++);
}

uint64_t frame_order::announcement() const {
  uint64_t out = 0;
  for (auto [which, shift] : announced_lanes)
    out |= uint64_t{next_out_[size_t(which)]} << shift;
  return out;
}

frame_order::verdict frame_order::decide(const frame_header& header) {
  if (header.kind == frame_class::hello)
    return verdict::repeated;
  auto& next = next_in_[size_t(lane_of(header.kind))];
  auto ahead = int16_t(uint16_t(header.sequence - next));
  if (ahead < 0
      && (PLANTED(repeated_frame_accepted)
          || (PLANTED(duplicate_token_committed)
              && header.kind == frame_class::control)))
    return verdict::take;
  if (ahead != 0)
    return ahead > 0 ? verdict::gap : verdict::repeated;
  ++next;
  return verdict::take;
}

bool frame_order::misses(const frame_header& heartbeat,
                         const lane_counts& waiting) {
  auto announced = std::exchange(announced_, heartbeat.first);
  if (!announced)
    return false;
  for (auto [which, shift] : announced_lanes) {
    auto here = next_in_[size_t(which)] + waiting[size_t(which)];
    if (int32_t(uint32_t(*announced >> shift) - here) > 0)
      return true;
  }
  return false;
}

} // namespace troupe
