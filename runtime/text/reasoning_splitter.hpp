#pragma once

/// Tells what the model thinks from what it says, while it comes in.

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

/// One answer. </think> may be cut anywhere; no more than its beginning is kept
/// back.
class reasoning_splitter {
public:
  /// `in_thought`: the prompt ended in <think>. Otherwise the answer thinks
  /// only if it begins with <think>, which is then part of neither, as is a
  /// </think> at its very beginning: no thought. `may_think`: the prompt said
  /// nothing of it, as behind the output of a tool, or the model may not heed
  /// what it said; then what comes before a </think> that no <think> has opened
  /// was told already, but that is no text.
  explicit reasoning_splitter(bool in_thought, bool may_think = false)
    : state_(in_thought ? state::thought : state::beginning),
      may_think_(may_think) {
  }

  answer_piece push(std::string_view text);

  /// Returns what was kept back, for no </think> came of it.
  answer_piece finish();

private:
  /// `gap`: behind </think>, before anything is said.
  enum class state : uint8_t { beginning, thought, gap, speech };

  void begin();
  void think(answer_piece& piece);
  void skip_gap();
  void speak(answer_piece& piece);

  state state_;
  bool may_think_;
  std::string held_;
};

} // namespace troupe
