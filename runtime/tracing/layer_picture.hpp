#pragma once

/// One layer of a rank as a timeline, in the way in which overlap is usually
/// published: what the rank's node computes above, below what is on its way to
/// other nodes (DISPATCH) and back (COMBINE), then what experts there make of
/// the rank's rows; each box with its micro-batch's number.

#include "runtime/error.hpp"
#include "runtime/tracing/spans.hpp"

namespace troupe {

/// Which layer is drawn.
struct picture_choice {
  uint16_t rank = 0;
  uint32_t step = 0;
  uint16_t layer = 0;
  clock::instant begin = {};
  clock::instant end = {};
};

/// The layer with experts that took the median of time, of those of `rank`
/// beside which most other micro-batches were under way. Error: not_found.
result<picture_choice> choose_layer(const std::vector<node_spans>& all,
                                    uint16_t rank);

/// As SVG.
std::string draw_layer(const std::vector<node_spans>& all,
                       const picture_choice& what);

} // namespace troupe
