#pragma once

/// What becomes of requests at a loss, counted. A plain value.

#include <cstdint>
#include <string>

namespace troupe {

struct request_fates {
  uint64_t moved = 0, waiting = 0, ended = 0;

  void operator+=(const request_fates& x) {
    moved += x.moved;
    waiting += x.waiting;
    ended += x.ended;
  }
};

/// The end of a sentence on a loss.
inline std::string describe(const request_fates& x) {
  return "; " + std::to_string(x.moved) + " requests go on elsewhere, "
         + std::to_string(x.waiting) + " wait for it, "
         + std::to_string(x.ended) + " end with it";
}

} // namespace troupe
