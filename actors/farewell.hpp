#pragma once

/// Asks actors to end and waits until they have. What they held is gone by
/// then, and none of their handlers runs.

#include "actors/caf.hpp"

#include <chrono>
#include <optional>

namespace troupe {

class farewell {
public:
  explicit farewell(caf::actor_system& system);
  ~farewell();

  farewell(const farewell&) = delete;
  farewell& operator=(const farewell&) = delete;

  /// Asks one to end; an empty handle asks nobody.
  template <class Handle>
  void bid(const Handle& actor) {
    if (!actor)
      return;
    ++num_left_;
    (*self_)->monitor(actor);
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  }

  /// Returns whether all have gone, none of them more than `deadline` after the
  /// one before it.
  bool wait(std::chrono::milliseconds deadline);

private:
  std::optional<caf::scoped_actor> self_;
  size_t num_left_ = 0;
};

} // namespace troupe
