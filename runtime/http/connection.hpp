#pragma once

/// A connection of the HTTP server. This file, its sockets and server.cpp are
/// the only ones that know Asio.

#include "runtime/http/access_record.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/timed_socket.hpp"

#include <condition_variable>
#include <map>
#include <mutex>

namespace troupe::http {

/// How to end a connection, from any thread.
struct way_out {
  std::function<void()> now;
  std::function<void()> soon; ///< After the request that is under way.
};

/// Shared by the connections and the server, which outlives them.
class house {
public:
  house(server_options options, handler& use, logger log);

  const server_options options;
  handler& use;
  const logger log;

  /// For a new connection; null: clear text.
  tls_context tls() const;

  /// For those who come from now on.
  void set_tls(tls_context tls);

  /// A connection of `from`. Returns a key, or 0 if there is not even room to
  /// say so. `out` may be called, with the lock held, until `leave` has
  /// returned.
  uint64_t enter(way_out out, const ip_bytes& from);

  void leave(uint64_t key, const ip_bytes& from);

  /// Whether one more connection of `from` may ask; true is to be followed by
  /// `vacate`.
  admission admit(const ip_bytes& from);

  void vacate(const ip_bytes& from);

  /// Counts a connection of `from` that was not let in, and logs it if that is
  /// news.
  void turn_away(const ip_bytes& from, const std::string& why);

  /// Logs what has become of a request of `from`.
  void tell(const access_record& of, const ip_bytes& from,
            access_record::instant now) const;

  /// Takes `size` bytes of what all connections together may hold for bodies,
  /// or returns false.
  bool hold(size_t size);

  void release(size_t size);

  /// Shows everybody out, and lets nobody in any more.
  void end_all(std::function<void()> way_out::*how);

  /// Returns whether nobody was left within `limit`.
  bool wait_until_empty(std::chrono::milliseconds limit);

  /// See server.
  uint64_t times_answered() const;
  bool wait_until_answered(uint64_t since, std::chrono::milliseconds limit);

private:
  friend class under_way;

  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::condition_variable answered_;
  size_t under_way_ = 0;        ///< Requests.
  uint64_t times_answered_ = 0; ///< That they were none any more.
  std::map<uint64_t, way_out> open_;
  uint64_t last_key_ = 0;
  guest_list guests_;
  tls_context tls_;
  size_t held_ = 0; ///< Bytes of bodies.
  bool ending_ = false;
};

/// A request, from before its head is judged to the end of its answer, or to
/// its refusal.
class under_way {
public:
  explicit under_way(house& in);
  ~under_way();
  under_way(const under_way&) = delete;
  under_way& operator=(const under_way&) = delete;

private:
  house& in_;
};

/// Serves `socket`, whose executor must be a strand, until it ends. `from` is
/// its client; who finds no room hears so.
void serve(house& in, stream_socket socket, ip_bytes from);

} // namespace troupe::http
