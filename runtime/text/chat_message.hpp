#pragma once

/// A conversation as people, tools and the model hand it over.

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

enum class chat_role : uint8_t { system, user, assistant, tool };

/// A call that the model made.
struct chat_tool_call {
  std::string type = "function";
  std::string name;
  std::string arguments; ///< JSON, as the model wrote it.
  std::string id = {};   ///< Where outputs say which call they are of.
};

/// A function that the model may call.
struct chat_tool {
  std::string name;
  std::string description;
  std::string parameters; ///< JSON.
  std::string whole;      ///< JSON: all of it, as it was declared.
  bool is_strict = false; ///< Its arguments are as `parameters` says.
};

struct chat_message {
  chat_role role = chat_role::user;
  std::string content;
  std::vector<chat_tool_call> tool_calls; ///< Of the assistant.
  /// What it thought, where it is to go on; earlier thoughts are gone.
  std::string reasoning = {};
  std::string call_id = {}; ///< Of a tool's: see chat_tool_call::id.
};

} // namespace troupe
