#pragma once

/// What an HTTP server counts, for whoever wants to tell it.

#include <atomic>
#include <cstdint>

namespace troupe::http {

/// Since the start, but for `open`.
struct server_stats {
  uint64_t open = 0;        ///< Connections.
  uint64_t accepted = 0;    ///< Likewise.
  uint64_t turned_away = 0; ///< Likewise, for want of room.
  uint64_t refused = 0;     ///< Requests that the server answered itself,
  uint64_t late = 0;        ///< and those that came too slowly.
};

/// Shared by a server and those who tell; any thread.
class server_counts {
public:
  std::atomic<uint64_t> open = 0;
  std::atomic<uint64_t> accepted = 0;
  std::atomic<uint64_t> turned_away = 0;
  std::atomic<uint64_t> refused = 0;
  std::atomic<uint64_t> late = 0;

  server_stats read() const {
    return {open, accepted, turned_away, refused, late};
  }
};

} // namespace troupe::http
