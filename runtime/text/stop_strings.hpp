#pragma once

/// Strings at which an answer ends, looked for while it comes in.

#include "runtime/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// One answer. What may be the beginning of a stop string is kept back, all
/// else passes at once; how the text is cut into pieces makes no difference.
/// The string whose end comes first counts, and of several that end there the
/// longest; it is part of the text only if `include` says so.
class stop_strings {
public:
  static constexpr size_t max_strings = 16;
  static constexpr size_t max_bytes = 256;

  /// Refuses more strings, longer ones, empty ones and what is not UTF-8.
  static result<stop_strings> make(std::vector<std::string> strings,
                                   bool include = false);

  /// Returns the text that is certain; after a stop nothing.
  std::string push(std::string_view text);

  /// Returns what was kept back, for no stop string came of it.
  std::string finish();

  /// The string that ended the text.
  const std::string& stopped_at() const {
    return automata_.at(*stopped_by_).text;
  }

  /// Which string, by its place in the list, ended the text.
  std::optional<size_t> stopped_by() const {
    return stopped_by_;
  }

private:
  /// Knuth, Morris and Pratt's automaton of one string.
  struct automaton {
    std::string text;
    std::vector<uint16_t> fallback; // [text.size() + 1]
    size_t state = 0;               // bytes of `text` that were just seen
  };

  stop_strings() = default;

  static automaton automaton_of(std::string text);
  static void step(automaton& x, char c);
  size_t advance(char c);

  std::vector<automaton> automata_;
  bool include_ = false;
  std::string held_;
  std::optional<size_t> stopped_by_;
};

} // namespace troupe
