#pragma once

/// Writes a conversation in a family's form, message by message.

#include "runtime/text/chat_message.hpp"
#include "runtime/text/chat_parts.hpp"
#include "runtime/text/chat_shape.hpp"

#include <span>

namespace troupe {

class chat_turns {
public:
  /// All must outlive this. `end` closes answers, where the form has no token
  /// of its own; `thinking`: the answer to come begins with a thought.
  chat_turns(const chat_shape& shape, std::string_view end, bool thinking,
             chat_parts& out);

  /// What stands before all messages but the begin token.
  void begin(std::span<const chat_message> messages);

  /// What the model may call, behind the system's messages.
  void tools(std::span<const chat_tool> all);

  void write(const chat_message& message);

  /// Writes an answer that goes on. Returns whether it does so in a thought.
  bool go_on(const chat_message& message);

  /// Returns whether the answer that comes next begins with a thought. If there
  /// is a name it begins with a call of that.
  bool finish(bool add_generation_prompt, std::string_view forced_call);

private:
  enum class last_said : uint8_t { nothing, user, assistant, tool };

  /// Begins a segment; the begin token is part of the first one.
  void segment(segment_author author);
  void system(const chat_message& message);
  void tool_output(std::string_view content);
  void answer(const chat_message& message);
  bool open_answer(segment_author author);
  void tool_calls(const std::vector<chat_tool_call>& calls);
  void tool_call(const chat_tool_call& call);
  void close_outputs();

  /// What the form keeps of an answer.
  std::string_view kept(const chat_message& message) const;

  const chat_shape& shape_;
  std::string_view end_;
  bool thinking_;
  chat_parts& out_;
  bool is_fresh_ = true; // nothing but the begin token is written
  bool outputs_open_ = false;
  last_said last_ = last_said::nothing;
};

/// How to write one conversation.
struct chat_writing {
  const chat_shape& shape;
  const std::string& bos;
  const std::string& eos;
  bool add_generation_prompt;
  bool thinking;      ///< The answer to come begins with a thought.
  bool go_on = false; ///< It begins with the last message.
  std::span<const chat_tool> tools = {};
  std::string_view forced_call = {}; ///< It begins with a call of this name.
};

/// How an answer begins that calls `name`, up to the arguments.
std::string begun_call(tool_style style, std::string_view name);

/// Writes all of it. Returns whether the answer begins within a thought.
bool write_chat(std::span<const chat_message> messages, const chat_writing& how,
                chat_parts& out);

/// Returns why the last message cannot be the beginning of an answer, or
/// nothing.
std::string why_not_to_go_on(const chat_shape& shape,
                             std::span<const chat_message> messages);

/// Returns which of the messages the form does not have, or nothing.
std::string unknown_messages(const chat_shape& shape,
                             std::span<const chat_message> messages);

} // namespace troupe
