#pragma once

/// Decides which frames a node lets in: those of its cluster, meant for its
/// incarnation, from an incarnation that it knows. A change of the view drops
/// no rows of those who stay, and the epoch of rows is for their receiver to
/// judge, who can answer. Every transport asks the same gate. Who may become
/// known, and who was given up, is for meeting_rules to say. Thread-safe.

#include "runtime/transport/transport.hpp"

#include <atomic>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <variant>

namespace troupe {

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

  /// Returns who sent it, or why it is refused, and counts the latter.
  std::variant<node_id, refusal> judge(const frame_header& header);

  /// Counts a frame that was refused before or after the gate.
  void count(refusal why);

  uint64_t refused(refusal why) const;

  /// With the refused frames alone.
  transport_stats stats() const;

  /// Fills in what the transport owes the header of an outgoing frame.
  void stamp(frame_header& header, uint64_t destination, size_t length) const;

  uint64_t incarnation() const {
    return incarnation_;
  }

private:
  std::variant<node_id, refusal> decide(const frame_header& header) const;

  const uint32_t cluster_;
  const uint64_t incarnation_;
  const std::function<bool(uint64_t)> is_over_;
  std::atomic<uint32_t> view_ = 0;
  std::atomic<uint64_t> refused_[size_t(refusal::num_refusals)] = {};
  mutable std::mutex mutex_; ///< For the two below.
  std::unordered_map<node_id, uint64_t> incarnations_;
  std::unordered_map<uint64_t, node_id> peers_;
};

} // namespace troupe
