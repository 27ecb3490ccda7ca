#pragma once

/// Who may connect: how many connections there are, of all clients and of each.
/// No socket, no lock.

#include "runtime/http/address_range.hpp"

#include <map>

namespace troupe::http {

struct guest_limits {
  size_t total = 4096;
  size_t per_client = 64; ///< At least 1.
  /// Proxies and load tests: no limit but that of all.
  std::vector<address_range> exempt = loopback_ranges();
};

/// What is said to one who wants to come in.
struct admission {
  bool granted = true;
  std::string why; ///< Why not.
};

class guest_list {
public:
  explicit guest_list(guest_limits limits);

  /// One more connection of `from`, if there is room.
  admission enter(const ip_bytes& from);

  /// One that was not let in hears so. Returns whether that is news: of its
  /// client, since that had no connection last; that all is full, since half
  /// was free.
  bool turn_away(const ip_bytes& from);

  /// A connection that was granted has ended.
  void leave(const ip_bytes& from);

  size_t size() const {
    return size_;
  }

private:
  struct guest {
    size_t count = 0;
    bool told = false;
  };

  bool is_exempt(const ip_bytes& from) const;

  const guest_limits limits_;
  size_t size_ = 0;
  bool told_ = false;                   ///< That all is full.
  std::map<std::string, guest> guests_; ///< By origin, but for the exempt.
};

} // namespace troupe::http
