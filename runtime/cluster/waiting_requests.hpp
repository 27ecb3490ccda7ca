#pragma once

/// Requests that nobody can run at present, and how long they wait for who is
/// lost. A plain class, told of the time.

#include "runtime/clock.hpp"
#include "runtime/service.hpp"

#include <functional>
#include <map>
#include <vector>

namespace troupe {

class waiting_requests {
public:
  /// `is_late`: it came for who was leaving by then. One that waits already
  /// waits no longer.
  void add(request_id id, clock::instant until, bool is_late);

  void erase(request_id id) {
    waits_.erase(id);
  }

  bool is_empty() const {
    return waits_.empty();
  }

  bool is_late(request_id id) const;

  /// Nobody is late any more.
  void forgive();

  /// Those that are not late, ascending.
  std::vector<request_id> in_time() const;

  /// Those whose time is over, ascending.
  std::vector<request_id> overdue(clock::instant now) const;

  /// All others are forgotten.
  void keep(const std::function<bool(request_id)>& is_open);

private:
  struct wait {
    clock::instant until;
    bool is_late = false;
  };

  std::map<request_id, wait> waits_;
};

} // namespace troupe
