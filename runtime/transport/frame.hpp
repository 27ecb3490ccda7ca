#pragma once

/// What travels between nodes: one 64-byte header, then a body of known
/// length. The layout is documented in schemas/wire.capnp, field by field.

#include "runtime/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace troupe {

/// Index of a node in its topology. The controller's node is 0.
using node_id = uint16_t;

enum class frame_class : uint8_t {
  hello = 1, ///< Joining and handshake, owned by the transport.
  heartbeat, ///< Owned by the transport.
  control,   ///< A Cap'n Proto message (schemas/wire.capnp, Control).
  dispatch,  ///< A slab of rows for the workers of one node.
  combine,   ///< A slab of answers from the workers of a node to one rank.
  bulk,      ///< A chunk of a transfer; waits for everything else.
};

/// Frames of one lane keep their order between two nodes; lanes do not wait for
/// each other, but bulk goes only where nothing else waits.
enum class lane : uint8_t { control, rows, bulk };

constexpr size_t num_lanes = 3;

/// Bytes of a chunk at most: what a heartbeat may have to wait for.
constexpr size_t max_bulk_bytes = 256 << 10;

/// One T for each lane, all made of `x`.
template <class T, class X>
std::array<T, num_lanes> per_lane(const X& x) {
  return {T{x}, T{x}, T{x}};
}

/// Heartbeats belong to control.
constexpr lane lane_of(frame_class kind) {
  if (kind == frame_class::bulk)
    return lane::bulk;
  auto is_rows = kind == frame_class::dispatch || kind == frame_class::combine;
  return is_rows ? lane::rows : lane::control;
}

/// Which dispatch of which rank a slab of rows belongs to, as the header's id.
struct rows_id {
  uint16_t rank = 0;
  uint8_t micro_batch = 0;
  uint32_t serial = 0; ///< Grows with each dispatch of a rank.

  /// 8 bits between micro-batch and serial are zero.
  uint64_t pack() const {
    return uint64_t{rank} << 48 | uint64_t{micro_batch} << 40 | serial;
  }

  static rows_id unpack(uint64_t x) {
    return {uint16_t(x >> 48), uint8_t(x >> 40), uint32_t(x)};
  }

  friend bool operator==(const rows_id&, const rows_id&) = default;
};

struct frame_header {
  static constexpr uint16_t magic_value = 0x5254; // "TR"
  static constexpr uint8_t version_value = 4;
  static constexpr size_t size = 64;

  /// Counts the frames of a lane between two incarnations, see frame_order.
  uint16_t sequence = 0;
  uint8_t version = version_value;
  frame_class kind = frame_class::control;
  uint16_t layer = 0;
  uint32_t cluster = 0; ///< Hash of the cluster's name.
  uint32_t view = 0;    ///< Membership that the sender knows.
  /// Of rows: the placement with which their rank has planned, see placement.
  uint32_t epoch = 0;
  /// Of the rank; of bulk the generation of its transfer; else 0.
  uint32_t step = 0;
  uint64_t source = 0;      ///< Incarnation of the sending process.
  uint64_t destination = 0; ///< Incarnation that it is meant for.
  uint64_t id = 0;          ///< rows_id, or a transfer.
  /// Of dispatch: the number of the first answer, see DispatchSlab. Of bulk:
  /// the place of the first byte in its transfer. Of a heartbeat: see
  /// frame_order::announcement().
  uint64_t first = 0;
  uint32_t length = 0; ///< Bytes of the body.
};

/// Immutable bytes that several may hold. 64-byte aligned.
class body {
public:
  body() = default;

  /// `owner` keeps `bytes` alive.
  body(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
    : owner_(std::move(owner)), bytes_(bytes) {
  }

  std::span<const std::byte> bytes() const {
    return bytes_;
  }

  const std::shared_ptr<const void>& owner() const {
    return owner_;
  }

private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

struct frame {
  frame_header header;
  body payload;
};

/// Why a frame was not let in; counted by kind.
enum class refusal : uint8_t {
  damaged, ///< Magic, version, length or checksum.
  foreign, ///< Another cluster.
  stale,   ///< An incarnation that is over.
  unknown_peer,
  repeated, ///< It has come before.
  ahead,    ///< One before it has not come.
  num_refusals,
};

/// What two processes have agreed upon for the checksums of their frames.
struct frame_seal {
  /// Known to the two alone (handshake::frame_tag): a stranger's frame does not
  /// fit. It keeps out who has seen no frame; it is no signature.
  uint64_t tag = 0;
  /// The checksum covers the body too. That of bulk always does.
  bool with_body = false;
};

/// Writes the 64 bytes, checksum included. `header.length` is the size of
/// `payload`.
std::array<std::byte, frame_header::size>
encode_header(const frame_header& header, std::span<const std::byte> payload,
              const frame_seal& seal);

/// The costly part of a checksum, for those who number the frame later: of the
/// seal, and of the body where it is covered.
uint32_t begin_checksum(frame_class kind, std::span<const std::byte> payload,
                        const frame_seal& seal);

/// Writes the 64 bytes of a frame whose checksum was begun.
std::array<std::byte, frame_header::size>
encode_header(const frame_header& header, uint32_t begun);

/// Checks magic, version, checksum and length, and reads. Error: invalid_input.
result<frame_header> decode_header(std::span<const std::byte> bytes,
                                   std::span<const std::byte> payload,
                                   const frame_seal& seal);

/// The incarnation that 64 bytes say they come from; not checked.
uint64_t source_of(std::span<const std::byte, frame_header::size> header);

/// The lane of a frame, from the bytes of a header that may be damaged.
lane lane_of(std::span<const std::byte, frame_header::size> header);

/// What frame_header::cluster holds.
uint32_t cluster_hash(std::string_view name);

} // namespace troupe
