#pragma once

/// Reads a text byte by byte along all ways through a grammar's program. What
/// is known after a text is a state; states that were reached before are found
/// again in a table, so that most steps are one look.

#include "runtime/grammar/program.hpp"

#include <cstdint>
#include <memory>
#include <unordered_map>
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

/// What it may cost to read one byte: frames of stacks that are looked at, and
/// `work_of_stack` for each stack; some 10 ns for each.
inline constexpr size_t max_byte_work = 1 << 16;
inline constexpr size_t work_of_stack = 8;

/// For tables by states.
struct grammar_state_hash {
  size_t operator()(const grammar_state& x) const;
};

class grammar_matcher {
public:
  explicit grammar_matcher(std::shared_ptr<const grammar_program> program);

  /// Work is counted from here. What would take more than `most` in all leads
  /// nowhere, and `is_too_much` says so. A step that was taken before costs
  /// what it did then, and nothing if that was since the last call: so the
  /// count depends on no table.
  void begin_count(uint64_t most);

  void spend(uint64_t work) {
    work_ += work;
  }

  uint64_t work() const {
    return work_;
  }

  bool is_too_much() const {
    return work_ > most_work_;
  }

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
    auto& row = states_[x].next;
    if (row.empty() || row[which].counted != count_)
      return find_next(x, which);
    return row[which].to;
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

  struct edge {
    number to = unknown;
    uint32_t cost = 0;
    uint32_t counted = 0; ///< In which count, if in any.
  };

  struct known_state {
    const grammar_state* what = nullptr; ///< A key of numbers_.
    /// By class of bytes; empty until somebody asks.
    std::vector<edge> next;
    bool may_end = false;
  };

  struct stepped {
    grammar_state to;
    size_t cost = 0;
  };

  struct frame {
    uint32_t at = 0;
    uint32_t count = 0; ///< Of a loop: rounds begun.
    friend auto operator<=>(const frame&, const frame&) = default;
  };

  using stack = std::vector<frame>;

  class closure;

  /// Of a state that was not known: what is kept of it, 16 bytes for each.
  size_t cost_of_row() const {
    return work_of_stack + program_->classes.size() * sizeof(edge) / 16;
  }

  template <class Takes>
  stepped step(number x, const Takes& takes) const;
  number find_next(number x, uint8_t which);
  void add_row(known_state& to);

  std::shared_ptr<const grammar_program> program_;
  std::unordered_map<grammar_state, number, grammar_state_hash> numbers_;
  std::vector<known_state> states_;
  size_t num_bytes_ = 0;
  uint32_t count_ = 1;
  uint64_t work_ = 0;
  uint64_t most_work_ = UINT64_MAX;
};

} // namespace troupe
