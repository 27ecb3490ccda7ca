#pragma once

/// Tokens of DeepSeek's forms around tool calls and what tools give back. The
/// bars are U+FF5C, the low lines U+2581.

#include <string_view>

namespace troupe {

inline constexpr std::string_view tool_calls_begin = "<｜tool▁calls▁begin｜>";
inline constexpr std::string_view tool_calls_end = "<｜tool▁calls▁end｜>";
inline constexpr std::string_view tool_call_begin = "<｜tool▁call▁begin｜>";
inline constexpr std::string_view tool_call_end = "<｜tool▁call▁end｜>";
inline constexpr std::string_view tool_call_sep = "<｜tool▁sep｜>";
inline constexpr std::string_view tool_outputs_begin
  = "<｜tool▁outputs▁begin｜>";
inline constexpr std::string_view tool_outputs_end = "<｜tool▁outputs▁end｜>";
inline constexpr std::string_view tool_output_begin = "<｜tool▁output▁begin｜>";
inline constexpr std::string_view tool_output_end = "<｜tool▁output▁end｜>";

} // namespace troupe
