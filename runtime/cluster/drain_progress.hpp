#pragma once

/// How far a node is that is to leave in peace. A plain value.

#include <cstdint>
#include <string>

namespace troupe {

enum class drain_state : uint8_t {
  emptying, ///< What it has is being given to others.
  ending,   ///< It has nothing any more and was told to end.
  left,
  stays, ///< It was given up; `why`.
  lost,  ///< It was lost before it had left; `why`.
};

const char* to_string(drain_state x);

struct drain_progress {
  std::string node; ///< Its name.
  drain_state state = drain_state::emptying;
  uint64_t num_experts = 0; ///< Slots of its workers that others are to fill.
  uint64_t experts_moved = 0;
  uint64_t requests_left = 0; ///< Of its ranks.
  std::string why = {};

  friend bool operator==(const drain_progress&, const drain_progress&)
    = default;
};

inline bool is_over(const drain_progress& x) {
  return x.state >= drain_state::left;
}

/// "node b: experts 12 of 32 moved, 3 requests left"
std::string sentence(const drain_progress& x);

} // namespace troupe
