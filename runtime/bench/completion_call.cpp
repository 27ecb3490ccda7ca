#include "runtime/bench/completion_call.hpp"

#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

namespace troupe::bench {

namespace {

using nlohmann::json;

constexpr size_t max_sentence = 300; ///< Bytes.

/// A field of an object, or null.
const json& at(const json& x, const char* name) {
  static const json nothing;
  if (!x.is_object())
    return nothing;
  auto found = x.find(name);
  return found == x.end() ? nothing : *found;
}

bool says(const json& x) {
  return (x.is_string() && !x.get_ref<const std::string&>().empty())
         || (x.is_array() && !x.empty());
}

/// Texts may be empty where a token is no whole character; a chat's first
/// piece only tells the role.
bool has_tokens(const json& choice) {
  auto& delta = at(choice, "delta");
  if (!delta.is_object())
    return says(at(choice, "text"))
           || (at(choice, "text").is_string()
               && at(choice, "finish_reason").is_null());
  return says(at(delta, "content")) || says(at(delta, "reasoning_content"))
         || says(at(delta, "reasoning")) || says(at(delta, "tool_calls"));
}

std::optional<uint32_t> count(const json& x) {
  if (!x.is_number_unsigned() || x.get<uint64_t>() > UINT32_MAX)
    return std::nullopt;
  return x.get<uint32_t>();
}

std::string sentence_of(const json& error) {
  auto& message = at(error, "message");
  auto text = message.is_string() ? message.get<std::string>() : error.dump();
  return text.substr(0, max_sentence);
}

} // namespace

std::string wrong_extra(const std::string& extra) {
  if (extra.empty())
    return {};
  auto x = parse_json("--extra-body", extra);
  if (!x)
    return x.why().message;
  return x->is_object() ? "" : "--extra-body is no JSON object";
}

http::outgoing_call make_call(const call_form& form, const prompt_writer& words,
                              uint32_t number, const planned_request& x) {
  json body{{"model", form.model},
            {"max_tokens", x.output_tokens},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  if (form.ignore_eos)
    body["ignore_eos"] = true;
  http::outgoing_call out;
  if (form.to == endpoint::chat) {
    out.path = "/v1/chat/completions";
    body["messages"] = json::array(
      {{{"role", "user"}, {"content", words.text(number, x.prompt_tokens)}}});
  } else {
    out.path = "/v1/completions";
    if (form.vocab_size > 0)
      body["prompt"] = words.ids(number, x.prompt_tokens, form.vocab_size);
    else
      body["prompt"] = words.text(number, x.prompt_tokens);
  }
  if (!form.extra.empty())
    if (auto extra = parse_json("--extra-body", form.extra))
      body.update(*extra);
  out.headers = "Accept: text/event-stream\r\n";
  if (!form.key.empty())
    out.headers += "Authorization: Bearer " + form.key + "\r\n";
  out.body = body.dump();
  return out;
}

stream_event read_event(std::string_view data) {
  stream_event out;
  out.is_end = data == "[DONE]";
  if (out.is_end)
    return out;
  auto x = parse_json("an event", data);
  out.is_malformed = !x || !x->is_object();
  if (out.is_malformed)
    return out;
  if (auto& error = at(*x, "error"); !error.is_null())
    out.error = sentence_of(error);
  if (auto& choices = at(*x, "choices"); choices.is_array())
    for (auto& choice : choices)
      out.has_tokens = out.has_tokens || has_tokens(choice);
  auto& usage = at(*x, "usage");
  out.prompt_tokens = count(at(usage, "prompt_tokens"));
  out.output_tokens = count(at(usage, "completion_tokens"));
  return out;
}

std::string error_sentence(std::string_view body) {
  auto x = parse_json("an error", body);
  if (x && x->is_object() && x->contains("error"))
    return sentence_of((*x)["error"]);
  return std::string{body.substr(0, max_sentence)};
}

} // namespace troupe::bench
