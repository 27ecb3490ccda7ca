#pragma once

/// Grammars as their readers build them: rules that consist of expressions over
/// bytes. Values, never changed once they are made.

#include <bitset>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

using byte_set = std::bitset<256>;

struct expression;
using expression_ptr = std::shared_ptr<const expression>;

/// Repetitions without an end.
inline constexpr uint32_t unlimited = std::numeric_limits<uint32_t>::max();

struct expression {
  enum class kind : uint8_t {
    bytes,    ///< One byte of `bytes`.
    mark,     ///< The token that stands for `mark`, and never for its bytes.
    sequence, ///< All parts, one after the other; none: the empty text.
    choice,   ///< One of the parts; none: no text at all.
    repeat,   ///< From `least` to `most` times its one part.
    rule,     ///< What that rule says.
  };

  kind what = kind::sequence;
  byte_set bytes = {};
  std::string mark = {};
  std::vector<expression_ptr> parts = {};
  uint32_t least = 0;
  uint32_t most = 0;
  uint32_t rule = 0;
};

/// Rules call each other by their places.
struct grammar_rules {
  std::vector<expression_ptr> rules; ///< Null: promised, to be set.
  uint32_t start = 0;

  /// Keeps a place for a rule that others call before it is known.
  uint32_t promise();
  uint32_t add(expression_ptr x);
};

expression_ptr one_of(const byte_set& bytes);
expression_ptr one_of(std::string_view bytes);
expression_ptr literal(std::string_view text);
expression_ptr in_sequence(std::vector<expression_ptr> parts);
expression_ptr choice_of(std::vector<expression_ptr> parts);
expression_ptr repeated(expression_ptr x, uint32_t least, uint32_t most);
expression_ptr optional_of(expression_ptr x);
expression_ptr call_of(uint32_t rule);

/// A token of its own where the vocabulary has one, its bytes as well.
expression_ptr mark_or_text(std::string_view mark);

/// Adds rules for any bytes up to the first `mark`, that, and `behind`; with
/// `may_end` also bytes without it. Returns the first rule.
uint32_t add_text_until(grammar_rules& to, std::string_view mark,
                        const expression_ptr& behind, bool may_end);

} // namespace troupe
