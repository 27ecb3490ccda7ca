#pragma once

/// What the events of a request's owner are to whoever commits them.

#include "runtime/service.hpp"

namespace troupe {

/// Its rank could not go on without somebody who is lost.
inline bool is_setback(const generation_event& x) {
  return x.finish == finish_reason::failed && x.cause
         && x.cause->code == errc::peer_lost;
}

/// All that it said was known.
inline bool is_empty(const generation_event& x) {
  return x.tokens.empty() && x.prompt_scores.empty()
         && x.finish == finish_reason::none;
}

} // namespace troupe
