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
  /// Connections beyond these, of who has not been let in: who greets, hears
  /// that there is no room, or has heard enough. Of all and of each.
  size_t surplus = 128;
  size_t surplus_per_client = 16;
};

/// What is said to one who wants to come in.
struct admission {
  bool granted = true;
  std::string why; ///< Why not.
};

class guest_list {
public:
  explicit guest_list(guest_limits limits);

  /// One more connection of `from`, if there is room to talk to it.
  admission arrive(const ip_bytes& from);

  /// A connection that has arrived is let in, if there is room.
  admission enter(const ip_bytes& from);

  /// There was no room for one. Returns whether that is news: of its
  /// client, since that had no connection last; that all is full, since half
  /// was free.
  bool turn_away(const ip_bytes& from);

  /// One that was let in makes room for others.
  void leave(const ip_bytes& from);

  /// One that has arrived, and has left if it was let in, has ended.
  void depart(const ip_bytes& from);

  size_t size() const {
    return size_;
  }

private:
  struct guest {
    size_t here = 0;  ///< Connections that have arrived.
    size_t count = 0; ///< Of these: let in.
    bool told = false;
  };
  using guests = std::map<std::string, guest>;

  bool is_exempt(const ip_bytes& from) const;
  size_t room() const; ///< For all that arrive.
  void see_room();
  void forget(guests::iterator who);

  const guest_limits limits_;
  size_t here_ = 0;
  size_t size_ = 0;   ///< Let in.
  bool told_ = false; ///< That all is full.
  guests guests_;     ///< By origin, but for the exempt.
};

} // namespace troupe::http
