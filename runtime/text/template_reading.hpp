#pragma once

/// What a chat template writes, read from its text alone: the pieces that stand
/// in it side by side, and what it compares and joins with.

#include "runtime/text/chat_atoms.hpp"
#include "runtime/text/template_tokens.hpp"

#include <cstdint>
#include <set>

namespace troupe {

/// What is written, or put into a variable, without anything in between.
struct template_phrase {
  chat_atoms atoms;        ///< Not empty.
  std::string target;      ///< The variable; empty: it is written.
  bool in_calls = false;   ///< For each of a message's tool calls.
  bool in_systems = false; ///< For system messages only.
  bool separates = false;  ///< For all but the first of a list.
};

/// What an answer's thoughts are cut by.
enum class thought_cut : uint8_t {
  none,
  first_end, ///< What follows the first </think> stays.
  last_end,  ///< What follows the last </think> stays.
};

struct template_reading {
  std::vector<template_tag> tags; ///< Without what only declares tools.
  std::vector<template_phrase> phrases;
  std::set<std::string> words;  ///< Compared with, or handed to functions.
  std::set<std::string> joints; ///< What lists are joined with.
  std::set<std::string> uses;   ///< Names that are not the template's own.
  thought_cut cut = thought_cut::none;
  /// Values that `thinking` and `enable_thinking` get when nobody gives one.
  std::set<bool> thinking_defaults;
};

/// Errors: invalid_input for what is not a template or has names and signs that
/// are not known; the sentence begins with "it".
result<template_reading> read_template(std::string_view source);

} // namespace troupe
