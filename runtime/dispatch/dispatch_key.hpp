#pragma once

/// Which dispatch of which rank rows belong to: what its frames, their answers
/// and refusals have in common.

#include "runtime/transport/frame.hpp"

namespace troupe {

struct dispatch_key {
  rows_id id;
  uint16_t layer = 0;
  uint32_t epoch = 0;
  uint32_t step = 0;

  friend bool operator==(const dispatch_key&, const dispatch_key&) = default;
};

inline dispatch_key key_of(const frame_header& x) {
  return {rows_id::unpack(x.id), x.layer, x.epoch, x.step};
}

/// The header of a frame of rows.
inline frame_header header_of(frame_class kind, const dispatch_key& of) {
  frame_header out;
  out.kind = kind;
  out.layer = of.layer;
  out.epoch = of.epoch;
  out.step = of.step;
  out.id = of.id.pack();
  return out;
}

} // namespace troupe
