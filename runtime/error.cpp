#include "runtime/error.hpp"

namespace troupe {

const char* to_string(errc code) {
  switch (code) {
    case errc::invalid_input:
      return "invalid_input";
    case errc::not_found:
      return "not_found";
    case errc::context_too_long:
      return "context_too_long";
    case errc::overloaded:
      return "overloaded";
    case errc::cancelled:
      return "cancelled";
    case errc::quarantined:
      return "quarantined";
    case errc::step_failed:
      return "step_failed";
    case errc::deadline_passed:
      return "deadline_passed";
    case errc::peer_lost:
      return "peer_lost";
    case errc::refused:
      return "refused";
    case errc::out_of_memory:
      return "out_of_memory";
    case errc::io:
      return "io";
  }
  return "unknown";
}

} // namespace troupe
