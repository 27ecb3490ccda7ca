#pragma once

/// How a family of models writes a conversation, as data.

#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Where system messages go.
enum class system_place : uint8_t {
  none,     ///< The template has none.
  joined,   ///< All of them first, a blank line between two.
  last,     ///< The last of them first; the others are dropped.
  in_place, ///< Where they stand.
};

/// When the opening of an answer is written.
enum class opening_rule : uint8_t {
  always,     ///< Before each answer that does not go on after tool outputs.
  with_user,  ///< With the user's message, whatever follows.
  after_user, ///< Before an answer to the user's message just before it.
};

enum class tool_style : uint8_t {
  none,   ///< The template has none, or what it makes of them is not known.
  fenced, ///< Type, name and the arguments in a fence, outputs in brackets.
  plain,  ///< Name and arguments, outputs as they come.
};

/// Which part of an earlier answer is dropped.
enum class thought_rule : uint8_t {
  kept,
  to_first_end, ///< Up to the first </think>, unless it calls or follows tools.
  to_last_end,  ///< Up to the last </think>.
};

/// Text that is written as it stands, but for tokens of the form in it.
struct chat_frame {
  std::string before;
  std::string after;
};

struct chat_shape {
  std::string name; ///< Of the family, as --chat-template has it.
  bool with_bos = true;
  system_place systems = system_place::joined;
  chat_frame system;          ///< Around those that stand in place.
  std::string default_system; ///< If the first message is none; or empty.
  chat_frame user;
  opening_rule opens = opening_rule::always;
  bool prompts_user_only = false; ///< Nobody answers anything else.
  std::string opening;            ///< Of an answer.
  std::string said;               ///< Behind the opening of an earlier answer.
  std::string speaking; ///< Behind that of an answer to come, without thought.
  std::string thinking; ///< With thought. Empty: it never begins with one.
  bool has_answers = true; ///< The template has assistant's messages.
  std::string end;         ///< Behind an answer. Empty: the end token.
  thought_rule dropped = thought_rule::kept;
  tool_style tools = tool_style::none;
  std::string output_separator;      ///< Between two tool outputs.
  std::vector<std::string> switches; ///< Names that turn thought on and off.
  bool thinks = false;               ///< Unless a switch says otherwise.
};

/// The names of all families, separated by ", ".
std::string chat_families();

/// Returns the family's usual form. Error: invalid_input with all names.
result<chat_shape> chat_shape_named(std::string_view family);

} // namespace troupe
