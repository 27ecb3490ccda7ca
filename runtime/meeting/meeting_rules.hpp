#pragma once

/// Who may come in, and which of two lines between the same processes stays.
/// Events in, decisions out; no clock, no I/O. Every transport asks the same
/// rules.
///
/// - A process that was given up never comes back; a new one may. Who was is
///   remembered here alone.
/// - A living process keeps its place: a newcomer under its name is told so and
///   disturbs nobody.
/// - If two processes dial each other at once, the line of the one with the
///   lower incarnation stays, on both sides, and the other ends without a word.

#include "runtime/transport/transport.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>

namespace troupe {

/// Names one connection of a door, for as long as the process lives.
using line_id = uint64_t;

class meeting_rules {
public:
  /// `incarnation`: ours.
  explicit meeting_rules(uint64_t incarnation) : incarnation_(incarnation) {
  }

  enum class course : uint8_t {
    take,   ///< Go on with it.
    refuse, ///< End it with `why` for the other side, or for our owner.
    leave,  ///< Say nothing: the other side is about to drop it.
    drop,   ///< End it without a word: another line stays.
  };

  struct decision {
    course what = course::take;
    std::string why = {};                  ///< With refuse.
    std::optional<line_id> gives_way = {}; ///< Drop this line, too.
  };

  /// The process that we have dialled is a member. Asked before our proof goes
  /// out. `place` is what it is to be here.
  decision met(line_id line, node_id place, const node_identity& who);

  /// The other side has welcomed us on a line that was met.
  decision welcomed(line_id line);

  /// Somebody who came has proven itself. `place` is which node it would be;
  /// or why the cluster has none for it.
  decision proven(line_id line, const result<node_id>& place,
                  const node_identity& who);

  /// The process at the other end of a line is given up. Its place is free.
  void given_up(line_id line);

  /// A line is over, whatever it has led to. What was taken is free again; the
  /// incarnation does not come back if `was_joined`.
  void ended(line_id line, bool was_joined);

  /// Whether there is a line to a process of this incarnation.
  bool is_here(uint64_t incarnation) const;

  /// Whether a process of this incarnation was given up.
  bool is_over(uint64_t incarnation) const;

private:
  /// Older ones are forgotten; frames of theirs count as unknown.
  static constexpr size_t max_over = 4096;

  struct entry {
    node_id place = 0;
    uint64_t incarnation = 0;
    bool is_ours = false;  ///< We dialled.
    bool is_taken = false; ///< It holds the place; a dial does once welcomed.
    std::string name = {};
  };

  void remember(uint64_t incarnation);
  const entry* holder_of(node_id place) const;
  /// Whether a process is us, or holds another place than this.
  bool is_elsewhere(uint64_t incarnation, node_id place) const;
  std::optional<line_id> dial_to(uint64_t incarnation) const;

  const uint64_t incarnation_;
  std::map<line_id, entry> lines_;
  std::deque<uint64_t> over_;
};

} // namespace troupe
