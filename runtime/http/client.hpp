#pragma once

/// An HTTP/1.1 client for thousands of calls at once, all on the thread that
/// calls `run`: connections are kept and used again, bodies are told as they
/// come. No meaning: what the bytes say is the caller's affair.

#include "runtime/clock.hpp"
#include "runtime/error.hpp"
#include "runtime/http/web_address.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace troupe::http {

struct client_options {
  web_address server;
  std::string authorities; ///< PEM file, of whom TLS trusts; empty: the system.
  bool trust_anybody = false;                  ///< TLS without a look at names.
  std::chrono::milliseconds patience{600'000}; ///< Of a whole call.
  /// A socket of this machine, instead of the server's address; or empty.
  std::string unix_path = {};
};

struct outgoing_call {
  std::string method = "POST";
  std::string path;    ///< Behind the server's own.
  std::string headers; ///< Whole lines, each with its CR LF.
  std::string body;    ///< JSON.
};

/// How a call has ended.
enum class call_end : uint8_t {
  whole,
  unreachable, ///< There was no connection.
  cut,         ///< It ended before the answer did.
  timeout,
  malformed, ///< The answer makes no sense.
  dropped,   ///< By who has called.
};

/// Who has called hears of it on the thread of `run`. Nothing comes after
/// `on_end`.
class call_listener {
public:
  virtual ~call_listener() = default;

  /// More of a body has come. False: drop the call.
  virtual bool on_body(unsigned status, std::string_view bytes) = 0;

  /// `why`: of ends other than `whole`.
  virtual void on_end(call_end end, unsigned status, std::string why) = 0;
};

class client {
public:
  /// Looks the host up. Errors: invalid_input, io. `time` must outlive the
  /// client.
  static result<std::unique_ptr<client>> open(client_options options,
                                              const clock& time);

  virtual ~client() = default;

  virtual void call(outgoing_call what, std::shared_ptr<call_listener> to) = 0;

  /// Calls `fn` when it is `when`, unless `run` has returned before.
  virtual void at(clock::instant when, std::function<void()> fn) = 0;

  /// Until `stop`. What is under way then is not told any more.
  virtual void run() = 0;

  virtual void stop() = 0;
};

} // namespace troupe::http
