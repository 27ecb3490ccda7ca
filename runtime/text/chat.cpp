#include "runtime/text/chat.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/text/chat_config.hpp"
#include "runtime/text/chat_parts.hpp"

#include <iterator>

namespace troupe {

namespace {

// The bars are U+FF5C, the low lines U+2581.
constexpr std::string_view user = "<｜User｜>";
constexpr std::string_view assistant = "<｜Assistant｜>";
constexpr std::string_view calls_begin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view calls_end = "<｜tool▁calls▁end｜>";
constexpr std::string_view call_begin = "<｜tool▁call▁begin｜>";
constexpr std::string_view call_end = "<｜tool▁call▁end｜>";
constexpr std::string_view call_sep = "<｜tool▁sep｜>";
constexpr std::string_view outputs_begin = "<｜tool▁outputs▁begin｜>";
constexpr std::string_view outputs_end = "<｜tool▁outputs▁end｜>";
constexpr std::string_view output_begin = "<｜tool▁output▁begin｜>";
constexpr std::string_view output_end = "<｜tool▁output▁end｜>";
constexpr std::string_view think = "<think>";
constexpr std::string_view end_of_thought = "</think>";

std::string_view without_thought(std::string_view content) {
  auto end = content.rfind(end_of_thought);
  return end == content.npos ? content
                             : content.substr(end + end_of_thought.size());
}

/// Writes messages that are not the system's, in order.
class turn_writer {
public:
  turn_writer(chat_parts& out, std::string_view eos) : out_(out), eos_(eos) {
  }

  void write(const chat_message& message) {
    if (message.role == chat_role::tool) {
      tool_output(message.content);
      return;
    }
    bool goes_on = close_outputs();
    if (message.role == chat_role::user) {
      out_.token(user);
      out_.text(message.content);
      return;
    }
    if (!goes_on)
      out_.token(assistant);
    out_.text(without_thought(message.content));
    tool_calls(message.tool_calls);
    out_.token(eos_);
  }

  /// Returns whether tool outputs were open, after which the turn goes on.
  bool close_outputs() {
    bool were_open = outputs_open_;
    if (were_open)
      out_.token(outputs_end);
    outputs_open_ = false;
    return were_open;
  }

private:
  void tool_output(std::string_view content) {
    if (!outputs_open_)
      out_.token(outputs_begin);
    outputs_open_ = true;
    out_.token(output_begin);
    out_.text(content);
    out_.token(output_end);
  }

  void tool_calls(const std::vector<chat_tool_call>& calls) {
    if (calls.empty())
      return;
    out_.token(calls_begin);
    for (auto& call : calls) {
      if (&call != &calls.front())
        out_.text("\n");
      out_.token(call_begin);
      out_.text(call.type);
      out_.token(call_sep);
      out_.text(call.name);
      out_.text("\n```json\n");
      out_.text(call.arguments);
      out_.text("\n```");
      out_.token(call_end);
    }
    out_.token(calls_end);
  }

  chat_parts& out_;
  std::string_view eos_;
  bool outputs_open_ = false;
};

void write_system(std::span<const chat_message> messages, chat_parts& out) {
  bool first = true;
  for (auto& message : messages)
    if (message.role == chat_role::system) {
      out.text(first ? "" : "\n\n");
      out.text(message.content);
      first = false;
    }
}

/// Returns the content of the file, or nothing if there is none.
result<std::optional<std::string>>
content_of(const std::filesystem::path& path) {
  constexpr uint64_t max_size = 16 << 20;
  auto content = read_regular_file(path, max_size);
  if (content)
    return std::optional{std::move(*content)};
  if (content.why().code == errc::not_found)
    return std::optional<std::string>{};
  return content.why();
}

} // namespace

result<chat_form> chat_form::load(const std::filesystem::path& model_dir,
                                  const tokenizer& tokens) {
  auto path = model_dir / "tokenizer_config.json";
  auto config = content_of(path);
  if (!config)
    return config.why();
  if (!*config)
    return failure{errc::not_found, "cannot read " + path.string()};
  auto chat_template = content_of(model_dir / "chat_template.jinja");
  if (!chat_template)
    return chat_template.why();
  return parse(**config, tokens, *chat_template);
}

result<chat_form> chat_form::parse(std::string_view config,
                                   const tokenizer& tokens,
                                   std::optional<std::string> chat_template) {
  auto parsed = parse_chat_config(config);
  if (!parsed)
    return parsed.why();
  for (auto token : {std::string_view{parsed->bos_token},
                     std::string_view{parsed->eos_token}, user, assistant})
    if (!tokens.id_of(token))
      return failure{errc::invalid_input, "the tokenizer has no token "
                                            + std::string{token}
                                            + ", which the chat form needs"};
  chat_form form;
  form.bos_ = parsed->bos_token;
  form.eos_ = parsed->eos_token;
  form.bos_id_ = *tokens.id_of(form.bos_);
  form.eos_id_ = *tokens.id_of(form.eos_);
  form.thinks_ = template_thinks(chat_template ? *chat_template
                                               : parsed->chat_template);
  return form;
}

result<chat_prompt> chat_form::render(std::span<const chat_message> messages,
                                      const chat_options& options,
                                      const tokenizer& tokens) const {
  chat_parts parts{tokens};
  chat_prompt prompt;
  parts.token(bos_);
  write_system(messages, parts);
  turn_writer turns{parts, eos_};
  for (auto& message : messages)
    if (message.role != chat_role::system)
      turns.write(message);
  if (!turns.close_outputs() && options.add_generation_prompt) {
    parts.token(assistant);
    if (options.thinking) {
      parts.token(think);
      parts.text("\n");
      prompt.in_thought = true;
    }
  }
  prompt.ids = parts.ids();
  if (!parts.missing().empty())
    return failure{errc::invalid_input, "the tokenizer has no token "
                                          + parts.missing()
                                          + ", which these messages need"};
  prompt.text = std::move(parts.whole_text());
  return prompt;
}

} // namespace troupe
