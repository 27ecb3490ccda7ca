#pragma once

/// Tells what the model calls from what it says, while it comes in: the forms
/// of DeepSeek's families.

#include "runtime/text/chat_shape.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// What has become certain of a call: first its name, then its arguments piece
/// by piece, as the model wrote them.
struct tool_call_piece {
  uint32_t index = 0;    ///< Of the call in its answer.
  bool is_first = false; ///< `name` is there.
  std::string name = {};
  std::string arguments = {};
};

struct spoken_piece {
  std::string text;
  std::vector<tool_call_piece> calls;
};

/// One answer. Marks may be cut anywhere; no more than what may begin one is
/// kept back. What stands between calls, and behind them, is dropped.
class tool_call_splitter {
public:
  /// `begun`: what stands before the first token of the answer, if that begins
  /// within a call.
  explicit tool_call_splitter(tool_style style, std::string begun = {})
    : style_(style), held_(std::move(begun)) {
  }

  spoken_piece push(std::string_view text);

  /// Returns the rest, but for names that are not whole and ends just begun.
  spoken_piece finish();

  /// Whether what is spoken has come to calls.
  bool has_begun() const {
    return state_ != state::speech;
  }

  /// Calls with a name.
  uint32_t num_calls() const {
    return num_calls_;
  }

  /// Calls that have come to their end.
  uint32_t num_whole() const {
    return num_whole_;
  }

private:
  enum class state : uint8_t { speech, calls, head, name, fence, arguments };

  /// Does what can be done with what is held; false: nothing more.
  bool step(spoken_piece& to);
  bool speak(spoken_piece& to);
  bool pass(std::string_view mark, state next);
  bool read_name(std::string_view end, state next, spoken_piece& to);
  bool read_arguments(spoken_piece& to);
  void add_arguments(std::string text, spoken_piece& to);

  tool_style style_;
  state state_ = state::speech;
  std::string held_;
  uint32_t num_calls_ = 0;
  uint32_t num_whole_ = 0;
};

} // namespace troupe
