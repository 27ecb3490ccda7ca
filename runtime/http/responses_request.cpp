#include "runtime/http/responses_request.hpp"

#include "runtime/http/effort_request.hpp"
#include "runtime/http/grammar_request.hpp"
#include "runtime/http/request_body.hpp"
#include "runtime/http/text_codes.hpp"
#include "runtime/http/tool_request.hpp"
#include "runtime/http/tool_results.hpp"
#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>

namespace troupe::http {

namespace {

using nlohmann::json;

std::optional<chat_role> parse_role(const std::string& x) {
  if (x == "system" || x == "developer")
    return chat_role::system;
  if (x == "user")
    return chat_role::user;
  if (x == "assistant")
    return chat_role::assistant;
  return std::nullopt;
}

/// Items one by one: calls become part of the answer that they follow.
class responses_conversation {
public:
  explicit responses_conversation(const request_limits& limits)
    : limits_(limits) {
  }

  std::vector<chat_message> read(field_reader& in) {
    const auto* input = in.find("input");
    if (!input) {
      in.refuse("input", "is needed", field_fault::missing);
    } else if (input->is_array()) {
      auto items = in.objects("input", limits_.max_messages);
      if (items.empty())
        in.refuse("input", "must not be empty");
      for (auto& x : items) {
        read_item(x);
        in.absorb(x);
      }
    } else {
      all_.push_back({chat_role::user, in.text("input"), {}});
    }
    return std::move(all_);
  }

private:
  void read_item(field_reader& in) {
    auto type = in.text_or("type", "message");
    if (type == "message")
      read_message(in);
    else if (type == "function_call")
      read_call(in);
    else if (type == "function_call_output")
      read_output(in);
    else if (type != "reasoning") // earlier thoughts are gone
      in.refuse("type",
                "only items of the types 'message', 'function_call', "
                "'function_call_output' and 'reasoning' are supported",
                field_fault::unsupported);
  }

  void read_message(field_reader& in) {
    auto role = parse_role(in.text("role"));
    if (!role)
      in.refuse("role", "must be one of system, developer, user, assistant");
    if (!in.has("content"))
      in.refuse("content", "is needed", field_fault::missing);
    auto text = read_text_parts(in, "content",
                                {"input_text", "output_text", "text"});
    all_.push_back({role.value_or(chat_role::user), std::move(text), {}});
  }

  /// Nobody computes it: it would be kept for nothing.
  static std::string read_call_id(field_reader& in) {
    auto out = in.text("call_id");
    if (out.size() > 256)
      in.refuse("call_id", "has more than 256 bytes");
    return out;
  }

  void read_call(field_reader& in) {
    if (all_.empty() || all_.back().role != chat_role::assistant)
      all_.push_back({chat_role::assistant, {}, {}});
    auto& calls = all_.back().tool_calls;
    if (calls.size() == limits_.max_tool_calls)
      in.refuse("type", "there are more than "
                          + std::to_string(limits_.max_tool_calls)
                          + " calls in a row");
    calls.push_back(
      {"function", in.text("name"), in.text("arguments"), read_call_id(in)});
  }

  void read_output(field_reader& in) {
    chat_message out;
    out.role = chat_role::tool;
    out.call_id = read_call_id(in);
    if (!in.has("output"))
      in.refuse("output", "is needed", field_fault::missing);
    out.content = read_text_parts(in, "output", {"input_text", "output_text"});
    all_.push_back(std::move(out));
  }

  const request_limits& limits_;
  std::vector<chat_message> all_;
};

void read_reasoning(field_reader& in, chat_request& to) {
  auto reasoning = in.object("reasoning");
  if (!reasoning)
    return;
  read_effort(*reasoning, "effort", to);
  in.absorb(*reasoning);
}

void read_text(field_reader& in) {
  auto text = in.object("text");
  if (!text)
    return;
  read_verbosity(*text);
  in.absorb(*text);
}

constexpr const char* scores_wish = "message.output_text.logprobs";
constexpr const char* no_scores = "log-probabilities are not supported here";

/// What else might come back.
void read_include(field_reader& in) {
  for (const auto& x : in.texts("include", 16))
    if (x == scores_wish)
      in.refuse("include", no_scores, field_fault::unsupported);
}

/// 0.95, where a float would be told as 0.949999988079071.
double shortest(float x) {
  return std::round(double{x} * 1e6) / 1e6;
}

/// Bytes of what a response repeats, on the thread of all events.
constexpr size_t max_repeated = 256 << 10;

/// As OpenAI has it: 16 pairs of short texts.
void read_metadata(field_reader& in) {
  auto metadata = in.object("metadata");
  if (!metadata)
    return;
  auto names = metadata->names();
  if (names.size() > 16)
    in.refuse("metadata", "has more than 16 pairs");
  for (const auto& name : names)
    if (name.size() > 64 || metadata->text(name).size() > 512)
      in.refuse("metadata", "has a key of more than 64 bytes or a value of "
                            "more than 512");
  in.absorb(*metadata);
}

/// Of a request that is well-formed.
std::string repeated_of(std::string_view body, const response_request& x) {
  auto sent = json::parse(body);
  auto or_null = [&](const char* name, json usual = nullptr) {
    auto i = sent.find(name);
    return i == sent.end() || i->is_null() ? usual : *i;
  };
  const auto& how = x.asked.options.sampling;
  json format = {{"format", {{"type", "text"}}}};
  json thought = {{"effort", nullptr}, {"summary", nullptr}};
  json out
    = {{"instructions", or_null("instructions")},
       {"max_output_tokens", or_null("max_output_tokens")},
       {"metadata", or_null("metadata", json::object())},
       {"parallel_tool_calls", or_null("parallel_tool_calls", true)},
       {"previous_response_id", or_null("previous_response_id")},
       {"reasoning", or_null("reasoning", thought)},
       {"store", x.store},
       {"temperature", or_null("temperature", shortest(how.temperature))},
       {"text", or_null("text", format)},
       {"tool_choice", or_null("tool_choice", "auto")},
       {"tools", or_null("tools", json::array())},
       {"top_p", or_null("top_p", shortest(how.top_p))},
       {"truncation", "disabled"},
       {"user", or_null("user")}};
  return out.dump();
}

} // namespace

std::optional<api_error> join_turns(const std::vector<chat_message>& before,
                                    response_request& to) {
  auto& all = to.asked.messages;
  all.insert(all.begin(), before.begin(), before.end());
  if (all.empty()) // only thoughts, which are gone
    return bad_parameter("input",
                         "Invalid value for 'input': nothing is said.");
  if (auto id = sort_tool_results(all))
    return bad_parameter("input", "No tool call found for function call output "
                                  "with call_id "
                                    + id->substr(0, 256) + ".");
  return std::nullopt;
}

parsed<response_replay> parse_replay(std::string_view query) {
  constexpr const char* after = "starting_after";
  auto refuse = [](const std::string& name, const std::string& why) {
    return bad_parameter(name,
                         "Invalid value for '" + name + "': " + why + ".");
  };
  response_replay out;
  auto is_cut = false;
  for (const auto& [name, value] : split_query(query)) {
    if (name == "stream") {
      if (value != "true" && value != "false")
        return refuse(name, "must be true or false");
      out.stream = value == "true";
    } else if (name == after) {
      uint32_t number = 0;
      const auto* end = value.data() + value.size();
      auto [at, error] = std::from_chars(value.data(), end, number);
      if (error != std::errc{} || at != end)
        return refuse(name, "must be the number of an event");
      is_cut = true;
      out.first = uint64_t{number} + 1;
    } else if ((name == "include" || name == "include[]")
               && value == scores_wish) {
      return refuse("include", no_scores);
    }
  }
  if (is_cut && !out.stream)
    return refuse(after, "only a stream (stream=true) has events");
  return out;
}

parsed<response_request>
parse_response_request(std::string_view body, const sampling_defaults& defaults,
                       const request_limits& limits) {
  constexpr auto kind = completion_kind::response;
  auto in = read_body(body, limits);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  response_request to;
  auto& asked = to.asked;
  asked.options = read_options(*in, kind, defaults, limits);
  read_grammar(*in, body, kind, limits, asked.options);
  asked.messages = responses_conversation{limits}.read(*in);
  to.instructions = in->text_or("instructions", "");
  to.previous = in->text_or("previous_response_id", "");
  to.store = in->boolean_or("store", true);
  read_reasoning(*in, asked);
  read_text(*in);
  read_include(*in);
  read_metadata(*in);
  read_tools(*in, body, kind, limits, asked);
  if (in->first_trouble())
    return in_openai_words(*in->first_trouble());
  to.repeated = repeated_of(body, to);
  if (to.repeated.size() > max_repeated)
    return bad_parameter(
      "", "instructions, metadata, text, tools and user together are longer "
          "than "
            + std::to_string(max_repeated) + " bytes.");
  return to;
}

} // namespace troupe::http
