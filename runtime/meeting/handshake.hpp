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
  /// Where frames reach us, in the transport's own words. Told only to those
  /// who proved themselves. At most handshake::max_data_address bytes.
  std::vector<std::byte> data_address = {};
};

class handshake {
public:
  enum class role : uint8_t { initiator, responder };

  /// Largest message that is read, in bytes.
  static constexpr size_t max_message = 4096;
  static constexpr size_t max_data_address = 2048;

  /// `options` must outlive this.
  handshake(role side, const handshake_options& options, hello_nonce nonce);

  role side() const {
    return role_;
  }

  /// `done` has been said.
  bool is_done() const {
    return is_done_;
  }

  /// The initiator's first message.
  std::vector<std::byte> greeting() const;

  /// What to do after a message of the other side.
  struct step {
    std::vector<std::byte> reply; ///< To send, unless empty.
    /// The initiator knows who is there, and that it is a member; its proof is
    /// in `reply`. Its owner may still close instead of sending it.
    bool met = false;
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

  /// The responder's last message, once `done`.
  std::vector<std::byte> welcome() const;
  static std::vector<std::byte> refuse(std::string_view reason);

  /// The reason of a refusal; nothing if it is none.
  static std::optional<std::string>
  read_refusal(std::span<const std::byte> message);

  /// Who the other side says it is; proven once `done`, or for the initiator
  /// once its proof has been sent.
  const node_identity& peer() const {
    return peer_.identity;
  }

  bool checksum_bodies() const {
    return checksum_bodies_;
  }

  /// Where frames reach the other side; proven once `done`.
  const std::vector<std::byte>& peer_data_address() const {
    return peer_.data_address;
  }

  /// A number that only the two sides know, for the frames of this connection;
  /// never 0. Once `done`.
  uint64_t frame_tag() const;

private:
  enum class state : uint8_t { greeting, challenge, proof, welcome, over };

  struct side_data {
    node_identity identity;
    hello_nonce nonce = {};
    std::vector<std::byte> data_address = {};
  };

  struct message;

  static result<message> parse(std::span<const std::byte> bytes);

  step fail(errc code, std::string message, std::string_view reason);
  step fail_proof();
  step on_greeting(const message& x);
  step on_challenge(const message& x);
  step on_proof(const message& x);
  step on_welcome(const message& x);
  result<void> take_identity(const message& x);
  std::vector<std::byte> introduction(bool with_proof) const;
  std::array<std::byte, 32> sign(std::string_view purpose,
                                 std::span<const std::byte> data_address) const;
  bool is_signed(const message& x, std::string_view purpose) const;

  const role role_;
  const handshake_options& options_;
  state expects_;
  side_data self_;
  side_data peer_;
  bool checksum_bodies_ = false;
  bool is_done_ = false;
};

} // namespace troupe
