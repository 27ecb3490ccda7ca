#pragma once

/// Where processes meet: a TCP port of our own, with TLS if so configured.
/// Whoever comes has to prove that it knows the cluster's secret
/// (handshake.hpp), within a deadline and within limits, and so do we to those
/// whom we dial; bytes of strangers cost nothing but their connection.
///
/// A connection that has led to a meeting is a *line*. It stays open without a
/// byte, and its end is evidence that the process at the other end is dead,
/// whatever carries the frames. Only who gives the other up says so on it.
///
///   came ----greeting .. proof----> proven --welcome()--> up --> ended
///   dialled --challenge--> met --proceed()--> ... welcome --> up --> ended
///      any of them: refusal, deadline, nonsense, close() --> gone
///
/// One thread of its own; the handler is called there, one event at a time.

#include "runtime/entropy.hpp"
#include "runtime/log.hpp"
#include "runtime/meeting/handshake.hpp"
#include "runtime/meeting/meeting_rules.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

/// PEM files of mutual TLS. All are given, or none.
struct tls_files {
  std::string certificate; ///< Ours, with its chain.
  std::string key;
  std::string authorities; ///< Who signs members; make it this cluster's own.

  bool empty() const {
    return certificate.empty() && key.empty() && authorities.empty();
  }
};

struct door_options {
  endpoint_address listen = {"127.0.0.1", 0}; ///< Numeric. Port 0: any.
  tls_files tls;
  /// From the first byte of a stranger to its welcome.
  std::chrono::milliseconds deadline{5000};
  /// Strangers at once. One more, and the oldest of them is dropped.
  size_t max_strangers = 64;
};

/// Whom a line leads to.
struct acquaintance {
  line_id line = 0;
  node_identity who;
  std::vector<std::byte> data_address;
  uint64_t frame_tag = 0;
  bool checksum_bodies = false;
};

/// Any of them may be left empty, but on_proven and on_met, which have to be
/// answered; without an answer the line's deadline ends it.
struct door_handler {
  /// Somebody who came has proven itself: answer with welcome() or refuse().
  std::function<void(acquaintance)> on_proven = {};
  /// The process that we dialled is a member: answer with proceed() or close().
  std::function<void(line_id, const node_identity&)> on_met = {};
  /// The process that we dialled has welcomed us.
  std::function<void(acquaintance)> on_welcomed = {};
  /// A dialled line did not come that far. Not after close().
  std::function<void(line_id, const failure&)> on_failed = {};
  /// A line that was up has ended, not by close(). Once.
  std::function<void(line_id, const std::string& why)> on_ended = {};
};

/// Whom we go to.
struct dial_target {
  endpoint_address address;
  std::string name = {}; ///< Unless empty, another process there is a failure.
  std::chrono::milliseconds deadline{10'000};
  /// Tries again while nobody is there, or somebody who says nothing and
  /// closes, ever less often: somebody may come before the deadline.
  bool is_patient = false;
};

struct door_stats {
  uint64_t came = 0;    ///< Connections that were accepted.
  uint64_t proven = 0;  ///< Of those.
  uint64_t dropped = 0; ///< Of those: nonsense, silence, surplus or no proof.
};

class door {
public:
  /// Listens and starts the thread. `who.self.listen` is filled in with the
  /// actual port. `chance` and `log` outlive this. Error: invalid_input (an
  /// address, a TLS file) or io.
  static result<std::unique_ptr<door>>
  open(door_options options, handshake_options who, entropy& chance,
       const logger& log, door_handler handler);

  /// Closes all lines; no handler is called once this returns.
  virtual ~door() = default;

  /// Where others reach us, with the actual port.
  virtual const endpoint_address& address() const = 0;

  // -- for any thread ---------------------------------------------------------

  /// Connects to a door and meets who is there: on_met or on_failed follows,
  /// within the deadline.
  virtual line_id dial(dial_target target) = 0;

  virtual void proceed(line_id line) = 0;
  virtual void welcome(line_id line) = 0;
  /// `why` is one sentence for the other side's operator. On a line that is up
  /// it gives the other side up; on_ended follows once that has heard it, or
  /// after a second.
  virtual void refuse(line_id line, std::string why) = 0;
  /// Ends a line in whatever state; the other side hears of it.
  virtual void close(line_id line) = 0;

  virtual door_stats stats() const = 0;
};

} // namespace troupe
