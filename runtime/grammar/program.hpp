#pragma once

/// A grammar as instructions for a machine with a stack of calls, of which
/// grammar_matcher runs all ways at once.

#include "runtime/error.hpp"
#include "runtime/grammar/expression.hpp"

#include <array>
#include <string>
#include <vector>

namespace troupe {

/// Places are indices of the program's code.
struct grammar_step {
  enum class kind : uint8_t {
    bytes, ///< Takes one of sets[which].
    mark,  ///< Takes the token of marks[which].
    split, ///< Goes on at `next`, and at `other`.
    call,  ///< Runs what begins at `other`, then `next`.
    loop,  ///< Runs `other` from `least` to `most` times, then `next`.
    end,   ///< Of what was called.
  };

  kind what = kind::end;
  uint32_t next = 0;
  uint32_t other = 0;
  uint32_t which = 0;
  uint32_t least = 0;
  uint32_t most = 0;
};

struct grammar_program {
  std::vector<grammar_step> code;
  std::vector<byte_set> sets;
  std::vector<std::string> marks;
  uint32_t start = 0;
  /// Bytes that no set tells from each other are of one class.
  std::array<uint8_t, 256> class_of = {};
  std::vector<uint8_t> classes; ///< One byte of each.

  size_t num_bytes() const {
    return code.size() * sizeof(grammar_step) + sets.size() * sizeof(byte_set)
           + marks.size() * sizeof(std::string) + sizeof(grammar_program);
  }
};

/// Of a grammar, and of its program: what compiling may cost.
inline constexpr size_t max_grammar_rules = 4096;
inline constexpr size_t max_grammar_steps = 1 << 17;

/// Leaves out what no text can come of. Errors, invalid_input: a rule that
/// calls itself before anything is written; no text but the empty one; too
/// large.
result<grammar_program> make_program(const grammar_rules& rules);

} // namespace troupe
