#pragma once

/// Decides which frames a node lets in: those of its cluster, meant for its
/// incarnation, from an incarnation that it knows. A change of the view drops
/// no rows of those who stay, and the epoch of rows is for their receiver to
/// judge, who can answer. Every transport asks the same gate. An incarnation
/// that was removed never comes back. Thread-safe.

#include "runtime/transport/transport.hpp"

#include <atomic>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <variant>

namespace troupe {

class frame_gate {
public:
  frame_gate(uint32_t cluster, uint64_t incarnation);

  /// The view that outgoing frames carry.
  void set_view(uint32_t view);

  /// Knows `peer` under `incarnation` from now on. Error: refused, if that
  /// incarnation has been here before or the peer has another one now.
  result<void> add_peer(node_id peer, uint64_t incarnation);

  /// Its frames are stale from now on. Returns whether it was known.
  bool remove_peer(node_id peer);

  /// The incarnation of `peer`; 0 if there is none.
  uint64_t incarnation_of(node_id peer) const;

  /// The peer that has `incarnation`, if any.
  std::optional<node_id> find(uint64_t incarnation) const;

  /// Whether a peer of this incarnation was removed.
  bool is_over(uint64_t incarnation) const;

  /// Returns who sent it, or why it is refused, and counts the latter.
  std::variant<node_id, refusal> judge(const frame_header& header);

  /// Counts a frame that was refused before or after the gate.
  void count(refusal why);

  uint64_t refused(refusal why) const;

  /// Fills in what the transport owes the header of an outgoing frame.
  void stamp(frame_header& header, uint64_t destination, size_t length) const;

  uint64_t incarnation() const {
    return incarnation_;
  }

private:
  /// Incarnations that are remembered as over. Older ones count as unknown,
  /// which refuses their frames as well.
  static constexpr size_t max_over = 4096;

  std::variant<node_id, refusal> decide(const frame_header& header) const;
  bool is_over_locked(uint64_t incarnation) const;

  const uint32_t cluster_;
  const uint64_t incarnation_;
  std::atomic<uint32_t> view_ = 0;
  std::atomic<uint64_t> refused_[size_t(refusal::num_refusals)] = {};
  mutable std::mutex mutex_; ///< For the three below.
  std::unordered_map<node_id, uint64_t> incarnations_;
  std::unordered_map<uint64_t, node_id> peers_;
  std::deque<uint64_t> over_;
};

} // namespace troupe
