#pragma once

/// An HTTP/1.1 server: connections, limits and deadlines, no meaning. One
/// thread, which is enough for tens of thousands of pieces a second, unless
/// told otherwise. One request at a time on a connection; the next one may be
/// sent early and waits.

#include "runtime/error.hpp"
#include "runtime/http/guest_list.hpp"
#include "runtime/http/message.hpp"
#include "runtime/http/request_reader.hpp"
#include "runtime/http/server_counts.hpp"
#include "runtime/log.hpp"

#include <algorithm>
#include <chrono>

namespace troupe::http {

struct server_limits {
  reader_limits reading;           ///< Of each request.
  size_t max_bodies = 256 << 20;   ///< Bytes of bodies that are on their way.
  guest_limits guests;             ///< Connections.
  int send_buffer = 128 << 10;     ///< Bytes that the kernel keeps of them.
  size_t max_buffered = 256 << 10; ///< Bytes that wait for one client.
  std::chrono::milliseconds greeting{5'000};       ///< Of TLS.
  std::chrono::milliseconds head_deadline{10'000}; ///< From the first byte.
  std::chrono::milliseconds body_deadline{60'000}; ///< From the head's end.
  std::chrono::milliseconds body_grace{10'000};    ///< Then a least speed:
  size_t least_body_speed = 8 << 10;               ///< Bytes in a second.
  std::chrono::milliseconds idle{30'000};          ///< Between requests.
  std::chrono::milliseconds stall{30'000};         ///< Of one write.
  std::chrono::milliseconds answer{86'400'000};    ///< Then it says 504.
  std::chrono::milliseconds linger{2'000};         ///< After a refusal.
  std::chrono::milliseconds silence{15'000};       ///< Of streams with fillers.
  std::chrono::milliseconds patience{250};         ///< For room to come in.
  std::chrono::milliseconds look{1'000}; ///< At who has sent much early.

  /// How long a body may take of which `size` bytes have come.
  std::chrono::milliseconds time_for(size_t size) const {
    std::chrono::milliseconds earned{size * 1000 / least_body_speed};
    return std::min(body_deadline, body_grace + earned);
  }
};

struct server_options {
  std::string address = "127.0.0.1"; ///< Or a name, with all its addresses.
  uint16_t port = 0;                 ///< 0: any that is free.
  /// Of a socket in the file system, which no one but this user may open,
  /// instead of address and port; or empty.
  std::string unix_path = {};
  uint32_t num_threads = 1;
  std::string certificate; ///< PEM file, with its chain; empty: no TLS.
  std::string key;         ///< PEM file.
  std::function<int64_t()> unix_time;    ///< s, for Date; none: no Date.
  std::function<std::string()> new_name; ///< Of a request; none: no names.
  server_limits limits;
  std::shared_ptr<server_counts> counts = std::make_shared<server_counts>();
};

class server {
public:
  /// Listens and starts its threads, or says why not (errc::io). `use` must
  /// outlive the server.
  static result<std::unique_ptr<server>> start(server_options options,
                                               handler& use, logger log);

  /// Closes every connection, which tells its responder, and waits for the
  /// threads.
  virtual ~server() = default;

  /// How often the last request that was under way (let in by its head, and not
  /// answered yet) has been answered.
  virtual uint64_t times_answered() const = 0;

  /// Whether no request was under way at a moment since times_answered() was
  /// `since`, or is within `limit`. Connections and requests are taken as ever,
  /// so such a moment may be short: who wants none of them is to refuse their
  /// heads first.
  virtual bool
  wait_until_answered(uint64_t since, std::chrono::milliseconds limit)
    = 0;

  /// Takes no connection and no request any more, and lets those that are
  /// being read or answered come to their end. Returns whether all connections
  /// have ended within `limit`.
  virtual bool finish(std::chrono::milliseconds limit) = 0;

  /// Reads certificate and key again: those who come from now on see them.
  /// With an error all stays as it is.
  virtual result<void> reload_certificate() = 0;

  virtual uint16_t port() const = 0;
};

} // namespace troupe::http
