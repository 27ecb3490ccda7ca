#pragma once

/// Decides which frames a node lets in: those of its cluster, meant for its
/// incarnation, from an incarnation that it knows, each once and in the order
/// of its lane. A change of the view drops no rows of those who stay, and the
/// epoch of rows is for their receiver to judge, who can answer. Every
/// transport asks the same gate. Who may become known, and who was given up, is
/// for meeting_rules to say. Thread-safe.

#include "runtime/transport/frame_order.hpp"
#include "runtime/transport/transport.hpp"

#include <atomic>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <variant>

namespace troupe {

/// Why a peer is given up of whose frames one is missing, or has come damaged:
/// those who wait for it are to know. They follow on its name.
inline constexpr const char* frame_was_lost = "sent a frame that was lost";
inline constexpr const char* frame_was_damaged = "sent a damaged frame";

class frame_gate {
public:
  /// `is_over`: whether a process of that incarnation was given up. Its frames
  /// are stale, those of others unknown. Asked by judge() alone.
  frame_gate(uint32_t cluster, uint64_t incarnation,
             std::function<bool(uint64_t)> is_over);

  /// The view that outgoing frames carry.
  void set_view(uint32_t view);

  /// Knows `peer` under `incarnation` from now on. Error: refused, if either is
  /// known already.
  result<void> add_peer(node_id peer, uint64_t incarnation);

  /// Its frames are stale from now on. Returns whether it was known: another
  /// incarnation of the peer stays.
  bool remove_peer(node_id peer, uint64_t incarnation);

  /// The incarnation of `peer`; 0 if there is none.
  uint64_t incarnation_of(node_id peer) const;

  /// The peer that has `incarnation`, if any.
  std::optional<node_id> find(uint64_t incarnation) const;

  /// Returns who sent it, or why it is refused, and counts the latter. After
  /// refusal::ahead its peer is to be given up (frame_was_lost). Asked in the
  /// order in which the frames of a lane have come. With `waiting` a heartbeat
  /// also tells whether the end of another lane is missing, see
  /// frame_order::misses().
  std::variant<node_id, refusal>
  judge(const frame_header& header,
        const std::optional<lane_counts>& waiting = {});

  /// Counts a frame that does not decode. Returns the peer that it says it is
  /// from, who is to be given up (frame_was_damaged); nobody for a stranger's,
  /// who does not know the incarnation of any.
  std::optional<node_id> judge_damaged(std::span<const std::byte> header);

  /// Counts a frame that was refused before or after the gate.
  void count(refusal why);

  uint64_t refused(refusal why) const;

  /// With the refused frames alone.
  transport_stats stats() const;

  /// Fills in what the transport owes the header of an outgoing frame.
  void stamp(frame_header& header, uint64_t destination, size_t length) const;

  /// Fills in its number, and what a heartbeat announces, last of all: in the
  /// order in which the frames of a lane go out, and for those alone that do.
  /// False: its destination is not known any more and it must not go out.
  bool number(frame_header& header);

  uint64_t incarnation() const {
    return incarnation_;
  }

private:
  struct known_peer {
    node_id id = 0;
    frame_order order = {};
  };

  std::variant<node_id, refusal>
  decide(const frame_header& header, const std::optional<lane_counts>& waiting);
  std::variant<node_id, refusal>
  decide_order(const frame_header& header,
               const std::optional<lane_counts>& waiting);

  const uint32_t cluster_;
  const uint64_t incarnation_;
  const std::function<bool(uint64_t)> is_over_;
  std::atomic<uint32_t> view_ = 0;
  std::atomic<uint64_t> refused_[size_t(refusal::num_refusals)] = {};
  mutable std::mutex mutex_; ///< For the two below.
  std::unordered_map<node_id, uint64_t> incarnations_;
  std::unordered_map<uint64_t, known_peer> peers_; ///< By incarnation.
};

} // namespace troupe
