#include "runtime/text/chat_turns.hpp"

#include "runtime/text/tool_marks.hpp"

namespace troupe {

namespace {

constexpr std::string_view end_of_thought = "</think>";

constexpr std::string_view plain_rules
  = "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>"
    "tool_call_arguments<｜tool▁call▁end｜>{additional_tool_calls}"
    "<｜tool▁calls▁end｜>\n\nWhere:\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the "
    "tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or "
    "spaces\n";

constexpr std::string_view fenced_rules
  = "\nIn order to call functions write exactly this, with a line feed between "
    "two calls, and nothing behind it:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n"
    "```json\n{the arguments, as a JSON object}\n```<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>\n";

} // namespace

chat_turns::chat_turns(const chat_shape& shape, std::string_view end,
                       bool thinking, chat_parts& out)
  : shape_(shape), end_(end), thinking_(thinking), out_(out) {
}

void chat_turns::begin(std::span<const chat_message> messages) {
  bool begins = !messages.empty() && messages.front().role == chat_role::system;
  if (!shape_.default_system.empty() && !begins)
    system({chat_role::system, shape_.default_system, {}});
  if (shape_.systems == system_place::in_place)
    return;
  const chat_message* last = nullptr;
  for (auto& message : messages) {
    if (message.role != chat_role::system)
      continue;
    if (shape_.systems == system_place::joined) {
      out_.text(last ? "\n\n" : "");
      out_.text(message.content);
    }
    last = &message;
    is_fresh_ = false;
  }
  if (last && shape_.systems == system_place::last)
    out_.text(last->content);
}

/// In the words of DeepSeek-V3.1's model card; for the others, whose templates
/// have none, in words of ours.
void chat_turns::tools(std::span<const chat_tool> all) {
  if (all.empty())
    return;
  bool is_plain = shape_.tools == tool_style::plain;
  is_fresh_ = false;
  out_.text(is_plain ? "\n\n## Tools\nYou have access to the following tools:\n"
                     : "\n\n## Tools\n\nYou can call these functions:\n");
  for (auto& x : all) {
    if (is_plain)
      out_.text("\n### " + x.name + "\nDescription: " + x.description
                + "\n\nParameters: " + x.parameters + "\n");
    else
      out_.text("\n```json\n" + x.whole + "\n```\n");
  }
  out_.form(is_plain ? plain_rules : fenced_rules);
}

void chat_turns::write(const chat_message& message) {
  switch (message.role) {
    case chat_role::system:
      if (shape_.systems == system_place::in_place)
        system(message);
      break;
    case chat_role::tool:
      tool_output(message.content);
      break;
    case chat_role::user:
      close_outputs();
      segment(segment_author::given);
      out_.form(shape_.user.before);
      out_.text(message.content);
      out_.form(shape_.user.after);
      if (shape_.opens == opening_rule::with_user) {
        segment(segment_author::generated);
        out_.form(shape_.opening);
      }
      last_ = last_said::user;
      break;
    case chat_role::assistant:
      answer(message);
      break;
  }
}

bool chat_turns::finish(bool add_generation_prompt,
                        std::string_view forced_call) {
  close_outputs();
  bool after_user = last_ == last_said::user;
  bool prompts = add_generation_prompt && last_ != last_said::tool
                 && (after_user || !shape_.prompts_user_only);
  if (prompts && (!after_user || shape_.opens != opening_rule::with_user)) {
    segment(segment_author::generated);
    out_.form(shape_.opening);
  }
  if (prompts)
    out_.form(thinking_ ? shape_.thinking : shape_.speaking);
  if (!forced_call.empty())
    out_.form(begun_call(shape_.tools, forced_call));
  return prompts && thinking_;
}

void chat_turns::segment(segment_author author) {
  if (!is_fresh_)
    out_.begin_segment(author);
  is_fresh_ = false;
}

void chat_turns::system(const chat_message& message) {
  segment(segment_author::given);
  out_.form(shape_.system.before);
  out_.text(message.content);
  out_.form(shape_.system.after);
}

void chat_turns::tool_output(std::string_view content) {
  bool brackets = shape_.tools == tool_style::fenced;
  segment(segment_author::given);
  if (brackets && !outputs_open_)
    out_.token(tool_outputs_begin);
  else if (outputs_open_)
    out_.text(shape_.output_separator);
  outputs_open_ = brackets;
  out_.token(tool_output_begin);
  out_.text(content);
  out_.token(tool_output_end);
  last_ = last_said::tool;
}

void chat_turns::answer(const chat_message& message) {
  close_outputs();
  auto content = kept(message);
  // What was written with thoughts that are gone is written anew.
  bool whole = content.size() == message.content.size() && !thinking_;
  auto author = whole ? segment_author::generated : segment_author::given;
  if (open_answer(author))
    out_.form(shape_.said);
  out_.text(content);
  tool_calls(message.tool_calls);
  out_.token(end_);
  last_ = last_said::assistant;
}

/// Begins the segment of an answer. Returns whether its opening is written
/// here.
bool chat_turns::open_answer(segment_author author) {
  bool opened = last_ == last_said::user
                && shape_.opens == opening_rule::with_user;
  if (!opened)
    segment(author);
  out_.set_author(author);
  bool opens = shape_.opens == opening_rule::always
                 ? last_ != last_said::tool
                 : shape_.opens == opening_rule::after_user
                     && last_ == last_said::user;
  if (opens)
    out_.form(shape_.opening);
  return opens;
}

/// Nothing of it is dropped, whatever becomes of the thoughts of earlier ones.
bool chat_turns::go_on(const chat_message& message) {
  close_outputs();
  bool opens = open_answer(segment_author::generated);
  bool thinks = !message.reasoning.empty();
  if (thinks) {
    out_.form(shape_.thinking);
    out_.text(message.reasoning);
  }
  if (thinks && message.content.empty())
    return true;
  if (thinks)
    out_.form(end_of_thought);
  else if (opens)
    out_.form(shape_.said);
  out_.text(message.content);
  return false;
}

std::string_view chat_turns::kept(const chat_message& message) const {
  std::string_view content = message.content;
  auto end = content.npos;
  if (shape_.dropped == thought_rule::to_last_end)
    end = content.rfind(end_of_thought);
  else if (shape_.dropped == thought_rule::to_first_end
           && message.tool_calls.empty() && last_ != last_said::tool)
    end = content.find(end_of_thought);
  return end == content.npos ? content
                             : content.substr(end + end_of_thought.size());
}

void chat_turns::tool_calls(const std::vector<chat_tool_call>& calls) {
  if (calls.empty())
    return;
  out_.token(tool_calls_begin);
  for (auto& call : calls) {
    if (&call != &calls.front() && shape_.tools == tool_style::fenced)
      out_.text("\n");
    tool_call(call);
  }
  out_.token(tool_calls_end);
}

void chat_turns::tool_call(const chat_tool_call& call) {
  bool is_fenced = shape_.tools == tool_style::fenced;
  out_.token(tool_call_begin);
  if (is_fenced) {
    out_.text(call.type);
    out_.token(tool_call_sep);
  }
  out_.text(call.name);
  if (is_fenced)
    out_.text("\n```json\n");
  else
    out_.token(tool_call_sep);
  out_.text(call.arguments);
  if (is_fenced)
    out_.text("\n```");
  out_.token(tool_call_end);
}

void chat_turns::close_outputs() {
  if (outputs_open_)
    out_.token(tool_outputs_end);
  outputs_open_ = false;
}

bool write_chat(std::span<const chat_message> messages, const chat_writing& how,
                chat_parts& out) {
  auto& shape = how.shape;
  chat_turns turns{shape, shape.end.empty() ? how.eos : shape.end, how.thinking,
                   out};
  out.begin_segment(segment_author::given);
  if (shape.with_bos)
    out.token(how.bos);
  turns.begin(messages);
  turns.tools(how.tools);
  for (auto& message : messages)
    if (how.go_on && &message == &messages.back())
      return turns.go_on(message);
    else
      turns.write(message);
  return turns.finish(how.add_generation_prompt, how.forced_call);
}

std::string begun_call(tool_style style, std::string_view name) {
  std::string out{tool_calls_begin};
  out += tool_call_begin;
  if (style == tool_style::fenced)
    out += "function" + std::string{tool_call_sep};
  out += name;
  out += style == tool_style::fenced ? "\n```json\n" : tool_call_sep;
  return out;
}

std::string why_not_to_go_on(const chat_shape& shape,
                             std::span<const chat_message> messages) {
  if (messages.empty() || messages.back().role != chat_role::assistant)
    return "only a message of the assistant, the last one, can go on";
  auto& last = messages.back();
  if (!last.tool_calls.empty())
    return "a message that calls tools cannot go on";
  if (last.content.empty() && last.reasoning.empty())
    return "a message that says nothing cannot go on";
  if (!last.reasoning.empty() && shape.thinking.empty())
    return "this model's chat template (" + shape.name
           + ") has no form for reasoning_content";
  return {};
}

std::string unknown_messages(const chat_shape& shape,
                             std::span<const chat_message> messages) {
  for (auto& x : messages)
    if (x.role == chat_role::system && shape.systems == system_place::none)
      return "system messages";
    else if (x.role == chat_role::assistant && !shape.has_answers)
      return "messages of the assistant";
    else if ((x.role == chat_role::tool || !x.tool_calls.empty())
             && shape.tools == tool_style::none)
      return "tool calls and their outputs";
  return {};
}

} // namespace troupe
