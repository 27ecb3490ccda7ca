#pragma once

/// How two processes meet, as a state machine: events in, bytes out, no socket
/// and no clock. Specified in schemas/hello.capnp.

#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <array>
#include <optional>
#include <vector>

namespace troupe {

/// 32 random bytes, never used twice.
using hello_nonce = std::array<std::byte, 32>;

/// What this side brings to every meeting.
struct handshake_options {
  std::string cluster;
  std::string secret; ///< Shared by the cluster; not logged, not sent.
  node_identity self;
  bool checksum_bodies = false; ///< On if either side wants it.
};

class handshake {
public:
  enum class role : uint8_t { initiator, responder };

  /// Largest message that is read, in bytes.
  static constexpr size_t max_message = 4096;

  /// `options` must outlive this.
  handshake(role side, const handshake_options& options, hello_nonce nonce);

  /// The initiator's first message.
  std::vector<std::byte> greeting() const;

  /// What to do after a message of the other side.
  struct step {
    std::vector<std::byte> reply; ///< To send, unless empty.
    /// The other side is who it says. The responder's owner now decides and
    /// answers with welcome() or refuse(); for the initiator it is final.
    bool done = false;
    /// It is over, whatever `reply` says.
    std::optional<failure> failed = {};
    /// The failure came from the other side: there is nobody to answer.
    bool refused_by_peer = false;
  };

  /// Reads the other side's next message; hostile bytes fail, no more.
  step receive(std::span<const std::byte> message);

  static std::vector<std::byte> welcome();
  static std::vector<std::byte> refuse(std::string_view reason);

  /// Who the other side says it is; proven once `done`, or for the initiator
  /// once its proof has been sent.
  const node_identity& peer() const {
    return peer_.identity;
  }

  bool checksum_bodies() const {
    return checksum_bodies_;
  }

private:
  enum class state : uint8_t { greeting, challenge, proof, welcome, over };

  struct side_data {
    node_identity identity;
    hello_nonce nonce = {};
  };

  struct message;

  static result<message> parse(std::span<const std::byte> bytes);

  step fail(errc code, std::string message, std::string_view reason);
  step on_greeting(const message& x);
  step on_challenge(const message& x);
  step on_proof(const message& x);
  result<void> take_identity(const message& x);
  std::vector<std::byte> introduction(bool with_proof) const;
  std::array<std::byte, 32> proof_of(role prover) const;

  const role role_;
  const handshake_options& options_;
  state expects_;
  side_data self_;
  side_data peer_;
  bool checksum_bodies_ = false;
};

} // namespace troupe
