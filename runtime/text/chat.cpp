#include "runtime/text/chat.hpp"

#include "runtime/text/chat_atoms.hpp"
#include "runtime/text/chat_template.hpp"
#include "runtime/text/chat_turns.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The first token of the form that the tokenizer lacks; tools need more.
std::string missing_token(const chat_shape& x, const tokenizer& tokens) {
  for (auto* part :
       {&x.system.before, &x.system.after, &x.user.before, &x.user.after,
        &x.opening, &x.said, &x.speaking, &x.thinking, &x.end})
    for (auto& atom : atoms_of(*part))
      if (is_form_token(atom) && !tokens.id_of(atom))
        return atom;
  return {};
}

/// Of what is given, whether a form writes it or not.
size_t bytes_of(std::span<const chat_message> messages,
                std::span<const chat_tool> tools) {
  size_t out = 0;
  for (auto& x : messages) {
    out += x.content.size() + x.reasoning.size();
    for (auto& call : x.tool_calls)
      out += call.name.size() + call.arguments.size();
  }
  for (auto& x : tools)
    out += x.whole.size();
  return out;
}

} // namespace

result<chat_form> chat_form::load(const std::filesystem::path& model_dir,
                                  const tokenizer& tokens,
                                  std::string_view choice) {
  auto files = read_chat_files(model_dir);
  if (!files)
    return files.why();
  return make(files->config, files->form, tokens, choice);
}

result<chat_form> chat_form::parse(std::string_view config,
                                   const tokenizer& tokens,
                                   std::string_view choice) {
  auto parsed = parse_chat_config(config);
  if (!parsed)
    return parsed.why();
  chat_template_text text{parsed->chat_template, "tokenizer_config.json",
                          parsed->chat_template_note};
  return make(*parsed, text, tokens, choice);
}

result<chat_form> chat_form::make(const chat_config& config,
                                  const result<chat_template_text>& text,
                                  const tokenizer& tokens,
                                  std::string_view choice) {
  for (auto& token : {config.bos_token, config.eos_token})
    if (!tokens.id_of(token))
      return failure{errc::invalid_input,
                     "the tokenizer has no token " + token
                       + ", which tokenizer_config.json names"};
  chat_form form;
  form.bos_ = config.bos_token;
  form.eos_ = config.eos_token;
  form.bos_id_ = *tokens.id_of(form.bos_);
  form.eos_id_ = *tokens.id_of(form.eos_);
  if (choice != auto_chat_template) {
    auto shape = chat_shape_named(choice);
    if (!shape)
      return shape.why();
    form.source_ = "as chosen";
    form.set_shape(std::move(*shape), tokens);
    return form;
  }
  auto shape = text ? recognise_chat_template(*text)
                    : result<chat_shape>{text.why()};
  if (!shape) {
    form.trouble_ = shape.why().message;
    return form;
  }
  form.source_ = text->source;
  form.set_shape(std::move(*shape), tokens);
  return form;
}

void chat_form::set_shape(chat_shape shape, const tokenizer& tokens) {
  if (auto token = missing_token(shape, tokens); !token.empty())
    trouble_ = "the tokenizer has no token " + token
               + ", which the chat template " + shape.name + " writes";
  shape_ = std::move(shape);
}

std::string chat_form::describe() const {
  return trouble_.empty() ? troupe::describe(shape_) + " (" + source_ + ")"
                          : trouble_;
}

bool chat_form::takes_switch(std::string_view name, bool value) const {
  auto& all = shape_.switches;
  return value == shape_.thinks
         || std::find(all.begin(), all.end(), name) != all.end();
}

result<chat_prompt> chat_form::render(std::span<const chat_message> messages,
                                      const chat_options& options,
                                      const tokenizer& tokens) const {
  if (!trouble_.empty())
    return failure{errc::invalid_input,
                   "Chat is not served here: " + trouble_
                     + ". Completions of plain text are; "
                       "--chat-template NAME chooses a form."};
  if (auto what = unknown_messages(shape_, messages); !what.empty())
    return failure{errc::invalid_input, "this model's chat template ("
                                          + shape_.name + ") has no form for "
                                          + what + " that is known here"};
  if (!options.tools.empty() && shape_.tools == tool_style::none)
    return failure{errc::invalid_input, "this model's chat template ("
                                          + shape_.name
                                          + ") has no form for tools"};
  bool is_forced = !options.forced_call.empty();
  if (is_forced && options.go_on)
    return failure{errc::invalid_input,
                   "an answer that goes on cannot begin with a call"};
  bool thinking = !is_forced && options.thinking.value_or(shape_.thinks);
  if (!is_forced && thinking != shape_.thinks && shape_.switches.empty())
    return failure{errc::invalid_input, "this model's chat template ("
                                          + shape_.name
                                          + ") has no switch for thinking"};
  if (auto why = options.go_on ? why_not_to_go_on(shape_, messages) : "";
      !why.empty())
    return failure{errc::invalid_input, why};
  const chat_writing how{
    shape_,   bos_,          eos_,          options.add_generation_prompt,
    thinking, options.go_on, options.tools, options.forced_call};
  chat_prompt prompt;
  if (bytes_of(messages, options.tools) > options.max_bytes) {
    chat_parts text{nullptr}; // tokens take far longer than writing twice
    write_chat(messages, how, text);
    if (text.whole_text().size() > options.max_bytes) {
      prompt.text = std::move(text.whole_text());
      return prompt;
    }
  }
  chat_parts parts{&tokens};
  prompt.in_thought = write_chat(messages, how, parts);
  if (is_forced)
    prompt.begun_call = begun_call(shape_.tools, options.forced_call);
  prompt.ids = parts.ids();
  prompt.segments = parts.segments();
  if (!parts.missing().empty())
    return failure{errc::invalid_input, "the tokenizer has no token "
                                          + parts.missing()
                                          + ", which these messages need"};
  prompt.text = std::move(parts.whole_text());
  return prompt;
}

} // namespace troupe
