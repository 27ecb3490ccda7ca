#pragma once

/// Tells what the model thinks from what it says, while it comes in.

#include "runtime/text/tokenizer.hpp"
#include "runtime/text/tool_call_splitter.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe {

/// Text that is certain to be one or the other. Line ends behind "</think>" are
/// part of neither: models write two there, and nobody wants to read them. All
/// else is what the model wrote.
struct answer_piece {
  std::string reasoning;
  std::string content;
  std::vector<tool_call_piece> calls = {}; ///< If they are looked for.
};

/// Whether `token` is <think> or </think>.
bool is_thought_mark(std::string_view token);

/// Whether both are tokens of their own.
bool has_thought_marks(const tokenizer& tokens);

/// What is a mark, and what only looks like one, where nothing says that there
/// is a thought: where its end may come unannounced, and at the beginning.
enum class thought_marks : uint8_t {
  text,  ///< One at the very beginning, later one that has a line for itself.
  token, ///< One that is a token; spelt out in others it is text.
};

/// One answer. </think> may be cut anywhere; no more than its beginning is kept
/// back. Within a thought the first one ends it, as it does for grammars.
class reasoning_splitter {
public:
  /// `in_thought`: the prompt ended in <think>. Otherwise the answer thinks
  /// only if it begins with <think>, which is then part of neither, as is a
  /// </think> at its very beginning: no thought. White space before either is
  /// dropped. `may_think`: the prompt said nothing of it, as behind the output
  /// of a tool, or the model may not heed what it said; then what comes before
  /// a </think> that no <think> has opened was told already, but that is no
  /// text.
  explicit reasoning_splitter(bool in_thought, bool may_think = false,
                              thought_marks marks = thought_marks::text)
    : state_(in_thought ? state::thought : state::beginning),
      may_think_(may_think), marks_(marks) {
  }

  /// `is_mark`: `text` ends with a token that is one.
  answer_piece push(std::string_view text, bool is_mark = false);

  /// From here on nothing ends a thought of which nobody knew.
  void settle() {
    may_think_ = false;
  }

  /// Returns what was kept back, for no </think> came of it.
  answer_piece finish();

private:
  /// `gap`: behind </think>, before anything is said.
  enum class state : uint8_t { beginning, thought, gap, speech };

  void begin();
  void think(answer_piece& piece);
  void skip_gap();
  void speak(answer_piece& piece);
  void speak_lines(answer_piece& piece);
  void meet_mark(answer_piece& piece);

  state state_;
  bool may_think_;
  thought_marks marks_;
  bool is_mark_ = false; ///< See push; of the last call.
  bool in_line_ = false; ///< A part of the last line has been said.
  std::string held_;
};

} // namespace troupe
