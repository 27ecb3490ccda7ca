#include "runtime/http/openai_request.hpp"

#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

namespace troupe::http {

namespace {

using nlohmann::json;

// -- reading fields -----------------------------------------------------------

/// Reads the members of one object and keeps the first thing that is wrong.
/// A member that is null counts as absent, as OpenAI has it.
class field_reader {
public:
  explicit field_reader(const json& object) : object_(object) {
  }

  const json* find(const char* name) const {
    auto i = object_.find(name);
    return i == object_.end() || i->is_null() ? nullptr : &*i;
  }

  void refuse(const std::string& name, const std::string& what,
              std::string code = "invalid_value") {
    if (!error_)
      error_ = bad_parameter(name, "Invalid value for '" + name + "': " + what,
                             std::move(code));
  }

  void refuse_type(const std::string& name, const std::string& expected) {
    refuse(name, "expected " + expected + ".", "invalid_type");
  }

  std::optional<uint64_t> whole(const char* name, uint64_t min, uint64_t max) {
    const auto* x = find(name);
    if (!x)
      return std::nullopt;
    if (!x->is_number_integer()) {
      refuse_type(name, "an integer");
      return std::nullopt;
    }
    if (!x->is_number_unsigned() || x->get<uint64_t>() < min
        || x->get<uint64_t>() > max) {
      refuse(name, "must be from " + std::to_string(min) + " to "
                     + std::to_string(max) + ".");
      return std::nullopt;
    }
    return x->get<uint64_t>();
  }

  std::optional<double> number(const char* name, double min, double max) {
    const auto* x = find(name);
    if (!x)
      return std::nullopt;
    if (!x->is_number()) {
      refuse_type(name, "a number");
      return std::nullopt;
    }
    auto value = x->get<double>();
    if (!(value >= min && value <= max)) {
      refuse(name, "must be from " + json(min).dump() + " to "
                     + json(max).dump() + ".");
      return std::nullopt;
    }
    return value;
  }

  bool boolean(const char* name) {
    const auto* x = find(name);
    if (x && !x->is_boolean())
      refuse_type(name, "a boolean");
    return x && x->is_boolean() && x->get<bool>();
  }

  /// The string `x`, called `name` in errors.
  std::string string(const json& x, const std::string& name) {
    if (!x.is_string()) {
      refuse_type(name, "a string");
      return {};
    }
    auto text = x.get<std::string>();
    if (text.find('\0') != std::string::npos)
      refuse(name, "must not hold the character U+0000.");
    return text;
  }

  std::optional<api_error>& error() {
    return error_;
  }

private:
  const json& object_;
  std::optional<api_error> error_;
};

/// Parses a body that is an object, or says why not.
parsed<json> parse_body(std::string_view body, const request_limits& limits) {
  if (auto ok = check_json("the body", body); !ok)
    return bad_parameter("", ok.why().message, "invalid_json");
  size_t count = 0;
  auto counted = [&](int, json::parse_event_t event, json&) {
    using enum json::parse_event_t;
    if (event == value || event == object_start || event == array_start)
      ++count;
    return count <= limits.max_values;
  };
  auto x = json::parse(body, counted, /*allow_exceptions=*/false);
  if (count > limits.max_values)
    return bad_parameter("", "the body holds more than "
                               + std::to_string(limits.max_values) + " values");
  if (!x.is_object())
    return bad_parameter("", "the body is not a JSON object", "invalid_json");
  return x;
}

// -- options ------------------------------------------------------------------

std::string one_stop(field_reader& in, const json& x,
                     const request_limits& limits) {
  auto text = in.string(x, "stop");
  if (text.empty())
    in.refuse("stop", "a stop string must not be empty.");
  if (text.size() > limits.max_stop_bytes)
    in.refuse("stop", "a stop string must not be longer than "
                        + std::to_string(limits.max_stop_bytes) + " bytes.");
  return text;
}

std::vector<std::string> stops(field_reader& in, const request_limits& limits) {
  const auto* x = in.find("stop");
  if (!x)
    return {};
  if (x->is_string())
    return {one_stop(in, *x, limits)};
  if (!x->is_array() || x->size() > limits.max_stops) {
    in.refuse("stop", "expected a string or a list of at most "
                        + std::to_string(limits.max_stops) + " strings.");
    return {};
  }
  std::vector<std::string> all;
  for (const auto& text : *x)
    all.push_back(one_stop(in, text, limits));
  return all;
}

bool is_empty(const json& x) {
  return x == false || x == 0 || x == ""
         || ((x.is_array() || x.is_object()) && x.empty());
}

/// What is not supported yet may be named as long as it asks for nothing.
void refuse_unsupported(field_reader& in) {
  in.whole("n", 1, 1);
  in.whole("best_of", 1, 1);
  in.number("presence_penalty", 0, 0);
  in.number("frequency_penalty", 0, 0);
  for (const auto* name : {"logprobs", "top_logprobs", "logit_bias", "tools",
                           "functions", "echo", "suffix", "audio"})
    if (const auto* x = in.find(name); x && !is_empty(*x))
      in.refuse(name, "not supported by this server.", "unsupported_parameter");
  const auto* format = in.find("response_format");
  if (format && *format != json{{"type", "text"}})
    in.refuse("response_format", "only the type 'text' is supported.",
              "unsupported_parameter");
}

void read_sampling(field_reader& in, const sampling_defaults& defaults,
                   completion_options& to) {
  constexpr auto least = std::numeric_limits<float>::min();
  auto& sampling = to.sampling;
  sampling.temperature = static_cast<float>(
    in.number("temperature", 0, 2).value_or(defaults.temperature));
  sampling.top_p = std::max(
    least,
    static_cast<float>(in.number("top_p", 0, 1).value_or(defaults.top_p)));
  constexpr auto max = std::numeric_limits<int32_t>::max();
  const auto* top_k = in.find("top_k");
  bool all = top_k && *top_k == -1; // how vLLM's clients say it
  sampling.top_k = all ? 0
                       : static_cast<uint32_t>(
                         in.whole("top_k", 0, max).value_or(defaults.top_k));
  to.seed = in.whole("seed", 0, std::numeric_limits<uint64_t>::max());
}

void read_stream(field_reader& in, completion_options& to) {
  to.stream = in.boolean("stream");
  const auto* options = in.find("stream_options");
  if (!options)
    return;
  if (!options->is_object())
    return in.refuse_type("stream_options", "an object");
  if (!to.stream)
    return in.refuse("stream_options", "only allowed when 'stream' is true.");
  field_reader inner{*options};
  to.include_usage = inner.boolean("include_usage");
  if (inner.error())
    in.refuse_type("stream_options.include_usage", "a boolean");
}

completion_options read_options(field_reader& in,
                                const sampling_defaults& defaults,
                                const request_limits& limits) {
  completion_options to;
  if (const auto* model = in.find("model"))
    to.model = in.string(*model, "model");
  else
    in.refuse("model", "a model is needed.", "missing_required_parameter");
  read_sampling(in, defaults, to);
  constexpr auto max = std::numeric_limits<int32_t>::max();
  auto old_name = in.whole("max_tokens", 1, max);
  auto new_name = in.whole("max_completion_tokens", 1, max);
  to.max_tokens
    = static_cast<uint32_t>(new_name.value_or(old_name.value_or(0)));
  to.stop = stops(in, limits);
  read_stream(in, to);
  refuse_unsupported(in);
  return to;
}

// -- messages -----------------------------------------------------------------

/// A string, or a list of {"type": "text", "text": ...}.
std::string read_content(field_reader& in, const json& x,
                         const std::string& name) {
  if (!x.is_array())
    return in.string(x, name);
  std::string all;
  for (const auto& part : x) {
    if (!part.is_object() || part.value("type", json()) != "text"
        || !part.contains("text")) {
      in.refuse(name, "only parts of the type 'text' are supported.");
      return {};
    }
    all += in.string(part["text"], name);
  }
  return all;
}

chat_tool_call read_tool_call(field_reader& in, const json& x,
                              const std::string& name) {
  const json none = json::object();
  const auto& function = x.is_object() && x.contains("function")
                             && x["function"].is_object()
                           ? x["function"]
                           : none;
  if (!function.contains("name") || !function.contains("arguments")) {
    in.refuse(name, "expected a function with a name and arguments.");
    return {};
  }
  chat_tool_call call;
  if (x.contains("type"))
    call.type = in.string(x["type"], name + ".type");
  call.name = in.string(function["name"], name + ".function.name");
  call.arguments = in.string(function["arguments"],
                             name + ".function.arguments");
  return call;
}

void read_tool_calls(field_reader& in, const json& x, const std::string& name,
                     size_t max, chat_message& to) {
  if (!x.is_array() || x.size() > max)
    return in.refuse(name, "expected a list of at most " + std::to_string(max)
                             + " calls.");
  for (const auto& call : x)
    to.tool_calls.push_back(read_tool_call(in, call, name));
}

std::optional<chat_role> parse_role(const json& x) {
  if (x == "system" || x == "developer")
    return chat_role::system;
  if (x == "user")
    return chat_role::user;
  if (x == "assistant")
    return chat_role::assistant;
  if (x == "tool")
    return chat_role::tool;
  return std::nullopt;
}

chat_message read_message(field_reader& in, const json& x,
                          const std::string& name,
                          const request_limits& limits) {
  chat_message to;
  if (!x.is_object()) {
    in.refuse_type(name, "an object");
    return to;
  }
  auto role = parse_role(x.value("role", json()));
  if (!role)
    in.refuse(name + ".role",
              "must be one of system, developer, user, assistant, tool.");
  to.role = role.value_or(chat_role::user);
  field_reader fields{x};
  const auto* calls = fields.find("tool_calls");
  if (calls && role == chat_role::assistant)
    read_tool_calls(in, *calls, name + ".tool_calls", limits.max_tool_calls,
                    to);
  else if (calls)
    in.refuse(name + ".tool_calls", "only an assistant calls tools.");
  if (const auto* content = fields.find("content"))
    to.content = read_content(in, *content, name + ".content");
  else if (to.tool_calls.empty())
    in.refuse_type(name + ".content", "a string or a list of text parts");
  return to;
}

std::vector<chat_message> read_messages(field_reader& in,
                                        const request_limits& limits) {
  const auto* list = in.find("messages");
  if (!list) {
    in.refuse("messages", "messages are needed.", "missing_required_parameter");
    return {};
  }
  if (!list->is_array() || list->empty()
      || list->size() > limits.max_messages) {
    in.refuse("messages", "expected a list of 1 to "
                            + std::to_string(limits.max_messages)
                            + " messages.");
    return {};
  }
  std::vector<chat_message> all;
  for (const auto& x : *list)
    all.push_back(read_message(
      in, x, "messages[" + std::to_string(all.size()) + "]", limits));
  return all;
}

/// What a request says about the chat template: variables that turn thought on
/// and off. Whether the model's template has them is for its form to say.
void read_template_fields(field_reader& in, chat_request& to) {
  for (const auto* name :
       {"chat_template", "continue_final_message", "documents"})
    if (const auto* x = in.find(name); x && !is_empty(*x))
      in.refuse(name, "not supported by this server.", "unsupported_parameter");
  if (const auto* x = in.find("add_generation_prompt"); x && *x != true)
    in.refuse("add_generation_prompt", "only true is supported.",
              "unsupported_parameter");
  const auto* x = in.find("chat_template_kwargs");
  if (!x)
    return;
  if (!x->is_object())
    return in.refuse_type("chat_template_kwargs", "an object");
  for (const auto& [key, value] : x->items()) {
    auto name = "chat_template_kwargs." + key.substr(0, 256);
    if (key != "thinking" && key != "enable_thinking")
      return in.refuse(name, "there is no such variable.",
                       "unsupported_parameter");
    if (!value.is_boolean())
      return in.refuse_type(name, "a boolean");
    to.switches.emplace_back(key, value.get<bool>());
    if (to.switches.front().second != to.switches.back().second)
      in.refuse("chat_template_kwargs", "its variables contradict each other.");
  }
}

// -- prompts ------------------------------------------------------------------

void read_ids(field_reader& in, const json& list, text_request& to) {
  for (const auto& id : list) {
    if (!id.is_number_unsigned()
        || id.get<uint64_t>() > std::numeric_limits<int32_t>::max())
      return in.refuse("prompt", "expected a string or a list of token ids.");
    to.ids.push_back(id.get<int32_t>());
  }
  if (to.ids.empty())
    in.refuse("prompt", "must not be empty.");
}

/// A string, a list of ids, or a list of one such (several would be several
/// answers, as with n > 1).
void read_prompt(field_reader& in, text_request& to) {
  const auto* x = in.find("prompt");
  if (!x)
    return in.refuse("prompt", "a prompt is needed.",
                     "missing_required_parameter");
  bool wrapped = x->is_array() && !x->empty() && !x->front().is_number();
  if (wrapped && x->size() > 1)
    return in.refuse("prompt", "only one prompt at a time is supported.",
                     "unsupported_parameter");
  if (wrapped)
    x = &x->front();
  if (x->is_array())
    return read_ids(in, *x, to);
  to.text = in.string(*x, "prompt");
  if (to.text.empty())
    in.refuse("prompt", "must not be empty.");
}

} // namespace

parsed<chat_request> parse_chat_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits) {
  auto x = parse_body(body, limits);
  if (auto* error = std::get_if<api_error>(&x))
    return std::move(*error);
  field_reader in{std::get<json>(x)};
  chat_request to;
  to.options = read_options(in, defaults, limits);
  to.messages = read_messages(in, limits);
  read_template_fields(in, to);
  if (in.error())
    return std::move(*in.error());
  return to;
}

parsed<text_request> parse_text_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits) {
  auto x = parse_body(body, limits);
  if (auto* error = std::get_if<api_error>(&x))
    return std::move(*error);
  field_reader in{std::get<json>(x)};
  text_request to;
  to.options = read_options(in, defaults, limits);
  read_prompt(in, to);
  if (in.error())
    return std::move(*in.error());
  return to;
}

} // namespace troupe::http
