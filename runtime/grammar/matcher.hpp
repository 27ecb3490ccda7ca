#pragma once

/// Reads a text byte by byte along all ways through a grammar's program. What
/// is known after a text is a state; states that were reached before are found
/// again in a table, so that most steps are one look.

#include "runtime/grammar/program.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace troupe {

/// All stacks of calls that a text leaves, ascending: of each its height, then
/// place and count of each of its frames, the lowest first. Empty: no way
/// leads on. It says everything, in every process.
using grammar_state = std::vector<uint32_t>;

/// Ways beside each other, and calls within each other; a text that needs more
/// is not of the grammar.
inline constexpr size_t max_grammar_ways = 256;
inline constexpr size_t max_grammar_depth = 512;

class grammar_matcher {
public:
  explicit grammar_matcher(std::shared_ptr<const grammar_program> program);

  /// A state's number, until `forget`.
  using number = uint32_t;
  static constexpr number dead = 0; ///< No way leads on.

  number begin();
  number number_of(const grammar_state& x);
  const grammar_state& state_of(number x) const {
    return *states_[x].what;
  }

  number after(number x, uint8_t byte) {
    auto which = program_->class_of[byte];
    auto next = states_[x].next[which];
    return next != unknown ? next : find_next(x, which);
  }

  /// `mark` is an index of the program's.
  number after_mark(number x, uint32_t mark);

  /// Whether the text may end here.
  bool may_end(number x) const {
    return states_[x].may_end;
  }

  /// A state whose texts of up to `length` bytes more are those of `x`.
  number alike(number x, uint32_t length);

  /// Of all states, about.
  size_t num_bytes() const {
    return num_bytes_;
  }

  const grammar_program& program() const {
    return *program_;
  }

  /// All states but the dead one.
  void forget();

private:
  static constexpr number unknown = UINT32_MAX;

  struct known_state {
    const grammar_state* what = nullptr; ///< A key of numbers_.
    std::vector<number> next;            ///< By class of bytes.
    bool may_end = false;
  };

  struct frame {
    uint32_t at = 0;
    uint32_t count = 0; ///< Of a loop: rounds begun.
    friend auto operator<=>(const frame&, const frame&) = default;
  };

  using stack = std::vector<frame>;

  class closure;

  template <class Takes>
  grammar_state step(number x, const Takes& takes) const;
  number find_next(number x, uint8_t which);

  std::shared_ptr<const grammar_program> program_;
  std::map<grammar_state, number> numbers_;
  std::vector<known_state> states_;
  size_t num_bytes_ = 0;
};

} // namespace troupe
