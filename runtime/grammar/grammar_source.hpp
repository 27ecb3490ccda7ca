#pragma once

/// What the text of an answer has to be, as it travels from process to process:
/// a source, which everybody compiles alike (compile_grammar.hpp).

#include <cstddef>
#include <cstdint>
#include <string>

namespace troupe {

enum class grammar_kind : uint8_t {
  none,        ///< Anything.
  json_object, ///< Any object; the source is empty.
  json_schema, ///< JSON by a schema (json_grammar.hpp).
  regex,       ///< All of it by a regular expression (regex_reader.hpp).
  choice,      ///< One of a list of strings, in JSON.
  gbnf,        ///< Rules as llama.cpp writes them (gbnf_reader.hpp).
  tools,       ///< Calls of functions (tool_grammar.hpp).
};

struct grammar_source {
  grammar_kind kind = grammar_kind::none;
  std::string text;
  bool after_thought = false; ///< It begins behind the first </think>.

  friend bool operator==(const grammar_source&, const grammar_source&)
    = default;
};

/// Of a source, in bytes.
inline constexpr size_t max_grammar_source = 64 << 10;

} // namespace troupe
