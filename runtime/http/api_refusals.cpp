#include "runtime/http/api_refusals.hpp"

namespace troupe::http {

namespace {

/// Of a token's score that is kept, until it has become JSON.
constexpr size_t score_bytes = 512;

/// The sentences are OpenAI's: clients look for them.
/// `about`: stands before what the prompt has.
api_error too_long(const request_refusal& x, const std::string& name,
                   const std::string& about = "") {
  auto prompt = about + std::to_string(x.given);
  auto text = "This model's maximum context length is "
              + std::to_string(x.limit) + " tokens. However, ";
  if (x.max_tokens == 0)
    text += "your " + name + " resulted in " + prompt
            + " tokens. Please reduce the length of the " + name + ".";
  else
    text += "you requested " + about + std::to_string(x.given + x.max_tokens)
            + " tokens (" + prompt + " in the " + name + ", "
            + std::to_string(x.max_tokens)
            + " in the completion). Please reduce the length of the " + name
            + " or completion.";
  return bad_parameter(name, text, "context_length_exceeded");
}

} // namespace

api_error unknown_model(const std::string& name) {
  return {404, "invalid_request_error",
          "The model '" + name.substr(0, 256) + "' does not exist.", "model",
          "model_not_found"};
}

api_error wrong_key(const request_head& what) {
  auto is_there = !what.authorization.empty() || !what.api_key.empty();
  auto text = is_there ? "Incorrect API key provided."
                       : "You didn't provide an API key: send it as "
                         "'Authorization: Bearer KEY' or 'X-Api-Key: KEY'.";
  return {401, "invalid_request_error", text, "", "invalid_api_key"};
}

api_error over_quota(const key_quota::refusal& why) {
  return {429,
          why.of,
          std::string{"Rate limit reached for "} + why.of + " per minute: "
            + std::to_string(why.limit) + ". Please try again in "
            + std::to_string(why.retry_after) + " s.",
          "",
          "rate_limit_exceeded",
          why.retry_after};
}

api_error retiring() {
  return to_api_error({errc::refused, "the server is shutting down"});
}

api_error took_too_long() {
  return {504, "timeout_error",
          "The request took longer than one may here (--max-request-time).", "",
          "deadline_passed"};
}

api_error unknown_response(const std::string& id, bool previous) {
  auto what = previous ? "Previous response" : "Response";
  auto message = what + (" with id '" + id.substr(0, 256) + "' not found.");
  if (previous)
    return bad_parameter("previous_response_id", message,
                         "previous_response_not_found");
  return {404, "invalid_request_error", message, "", "not_found"};
}

api_error unknown_route(const request_head& what, bool wrong_method) {
  if (wrong_method)
    return {405, "invalid_request_error",
            "Not allowed to " + what.method + " on " + what.path.substr(0, 256)
              + ".",
            "", "method_not_supported"};
  return {404, "invalid_request_error",
          "Unknown request URL: " + what.method + " " + what.path.substr(0, 256)
            + ".",
          "", "unknown_url"};
}

api_error no_switch(const std::string& param) {
  return bad_parameter(param,
                       "Invalid value for '" + param
                         + "': this model's chat template has no such switch.",
                       "unsupported_parameter");
}

api_error in_openai_words(const request_refusal& x, const std::string& name) {
  if (x.why == request_fault::too_long)
    return too_long(x, name);
  if (x.why == request_fault::wrong_min_tokens)
    return bad_parameter("min_tokens", "Invalid value for 'min_tokens': "
                                         + to_failure(x).message + ".");
  if (x.why == request_fault::unknown_token)
    return bad_parameter(name,
                         "There is no token " + std::to_string(x.given) + ".");
  return to_api_error(to_failure(x));
}

api_error surely_too_long(size_t least, uint32_t context,
                          const completion_options& options,
                          const std::string& name) {
  return too_long(
    {request_fault::too_long, int64_t(least), context, options.max_tokens},
    name, "at least ");
}

api_error many_scores(size_t count, size_t limit) {
  return bad_parameter("logprobs",
                       "Invalid value for 'logprobs': the prompts would have "
                         + std::to_string(count)
                         + " log-probabilities, and a request has at most "
                         + std::to_string(limit) + ".");
}

std::optional<api_error> many_held(const completion_options& x, size_t count,
                                   const request_limits& limits) {
  if (x.stream || count <= limits.max_held_scores / score_bytes)
    return std::nullopt;
  return bad_parameter("logprobs",
                       "Invalid value for 'logprobs': the answers may have "
                         + std::to_string(count)
                         + " log-probabilities, and those of an answer that is "
                           "not streamed have room for "
                         + std::to_string(limits.max_held_scores / score_bytes)
                         + ". Ask for fewer tokens or answers, or for a "
                           "stream.");
}

std::optional<api_error> unknown_ids(const completion_options& x,
                                     uint32_t vocab_size) {
  auto is_unknown = [&](int32_t id) {
    return static_cast<uint32_t>(id) >= vocab_size;
  };
  auto refuse = [](const char* name, int32_t id) {
    return bad_parameter(name, "Invalid value for '" + std::string{name}
                                 + "': there is no token " + std::to_string(id)
                                 + ".");
  };
  for (auto id : x.stop_ids)
    if (is_unknown(id))
      return refuse("stop_token_ids", id);
  for (auto& bias : x.sampling.biases)
    if (is_unknown(bias.id))
      return refuse("logit_bias", bias.id);
  return std::nullopt;
}

} // namespace troupe::http
