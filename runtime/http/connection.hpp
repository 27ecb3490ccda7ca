#pragma once

/// A connection of the HTTP server. This header, connection.cpp and server.cpp
/// are the only files that know Asio.

#include "runtime/http/server.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <map>
#include <mutex>

namespace troupe::http {

/// Shared by the connections and the server, which outlives them.
class house {
public:
  house(server_options options, handler& use, logger log);

  const server_options options;
  handler& use;
  const logger log;

  /// Returns a key, or 0 if there is no room for one more from `address`.
  /// `kill` may be called, with the lock held, until `leave` has returned.
  uint64_t enter(const std::string& address, std::function<void()> kill);

  void leave(uint64_t key, const std::string& address);

  /// Takes `size` bytes of what all connections together may hold for bodies,
  /// or returns false.
  bool hold(size_t size);

  void release(size_t size);

  /// Counts a request that the server answered itself.
  void refused();

  void kill_all();

  server_stats stats() const;

private:
  mutable std::mutex mutex_;
  std::map<uint64_t, std::function<void()>> open_;
  std::map<std::string, size_t> per_address_;
  size_t held_ = 0; ///< Bytes of bodies.
  server_stats stats_;
};

/// Serves `socket`, whose executor must be a strand, until it ends; closes it
/// at once if there is no room.
void serve(house& in, boost::asio::ip::tcp::socket socket, std::string address);

} // namespace troupe::http
