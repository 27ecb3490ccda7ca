#include "runtime/cluster/drain_progress.hpp"

namespace troupe {

const char* to_string(drain_state x) {
  switch (x) {
    case drain_state::emptying:
      return "emptying";
    case drain_state::ending:
      return "ending";
    case drain_state::left:
      return "left";
    case drain_state::stays:
      return "stays";
    case drain_state::lost:
      return "lost";
  }
  return "unknown";
}

std::string sentence(const drain_progress& x) {
  auto out = "node " + x.node;
  switch (x.state) {
    case drain_state::emptying:
      return out + ": experts " + std::to_string(x.experts_moved) + " of "
             + std::to_string(x.num_experts) + " moved, "
             + std::to_string(x.requests_left) + " requests left";
    case drain_state::ending:
      return out + " has nothing any more and is told to end";
    case drain_state::left:
      return out + " has left";
    case drain_state::stays:
      return out + " stays: " + x.why;
    case drain_state::lost:
      return out + " was lost before it had left: " + x.why;
  }
  return out;
}

} // namespace troupe
