#pragma once

/// What has happened in a virtual world, entry by entry: a hash over all of it,
/// that two runs of one seed share, the last entries, for people, and
/// observers, who hear of each entry as it comes.

#include "runtime/clock.hpp"
#include "runtime/transport/frame.hpp"

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

using virtual_instant = clock::instant;
using virtual_duration = clock::instant::duration;

/// When every world begins. Not 0, so that what was before has a name.
constexpr virtual_instant world_begin{std::chrono::hours{1}};

/// Where an entry has no node or no peer.
constexpr node_id no_node = 0xffff;

/// With what `a` and `b` of an entry say.
enum class trace_kind : uint8_t {
  message_run,       ///< Actor, kind of message.
  frame_sent,        ///< Id of its header, trace_frame().
  frame_arrived,     ///< The same.
  frame_refused,     ///< Id of its header, refusal.
  peer_joined,       ///< Incarnation of the peer, own one.
  peer_lost,         ///< The same.
  operation_ended,   ///< Number on its device, index of its kind.
  operation_failed,  ///< The same.
  allocation,        ///< Number on its device, bytes.
  allocation_failed, ///< The same.
  request_accepted,  ///< Request.
  token_emitted,     ///< Request, position and token.
  request_ended,     ///< Request, how.
  node_started,      ///< Life.
  node_paused,       ///< Life.
  node_resumed,      ///< Life.
  node_ended,        ///< Life.
  fault_began,       ///< Fault.
  fault_healed,      ///< Fault.
  num_kinds
};

constexpr size_t num_trace_kinds = size_t(trace_kind::num_kinds);

/// Returns the name as written above, e.g. "frame_sent".
std::string_view to_string(trace_kind kind);

std::optional<trace_kind> parse_trace_kind(std::string_view name);

struct trace_entry {
  trace_kind kind = trace_kind::message_run;
  virtual_instant at = {};
  node_id node = no_node;
  node_id peer = no_node;
  frame_class frame = {}; ///< 0 where it is about none.
  uint64_t a = 0;
  uint64_t b = 0;
};

/// One line without its end: time since the world's begin, node, what, whom.
std::string to_string(const trace_entry& x);

/// The b of a frame's entry: its checksum, that knows every byte that it
/// covers, and its length.
constexpr uint64_t trace_frame(uint32_t checksum, uint32_t length) {
  return uint64_t{checksum} << 32 | length;
}

class trace {
public:
  using observer = std::function<void(const trace_entry&)>;

  /// Entries that are kept for people.
  static constexpr size_t num_kept = 200;

  void record(const trace_entry& x);

  /// From now on it hears of each entry, in order. It may record others: they
  /// are told once this one has been told to all. Hears until the trace ends.
  void observe(observer x);

  /// Of all entries so far.
  uint64_t hash() const {
    return hash_;
  }

  uint64_t count(trace_kind kind) const {
    return counts_[size_t(kind)];
  }

  /// By kind.
  const std::array<uint64_t, num_trace_kinds>& counts() const {
    return counts_;
  }

  /// The last num_kept at most, oldest first.
  std::vector<trace_entry> last() const;

private:
  void add(const trace_entry& x);
  void tell(const trace_entry& x);

  uint64_t hash_ = 0;
  std::array<uint64_t, num_trace_kinds> counts_ = {};
  uint64_t num_entries_ = 0;
  std::vector<trace_entry> ring_;
  std::vector<observer> observers_;
  std::vector<trace_entry> untold_;
  bool is_telling_ = false;
};

} // namespace troupe
