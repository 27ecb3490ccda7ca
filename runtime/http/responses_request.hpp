#pragma once

/// The bodies of requests for OpenAI's responses, read and checked field by
/// field.

#include "runtime/http/openai_request.hpp"

namespace troupe::http {

struct response_request {
  chat_request asked; ///< Its messages are those that are new.
  std::string instructions;
  std::string previous; ///< The response that it goes on from; or empty.
  bool store = true;
  /// JSON: what a response repeats of its request.
  std::string repeated;
};

/// Puts what was said before in front, and outputs of tools in the order of
/// their calls. Error: an output of no call, or nothing is said at all.
std::optional<api_error> join_turns(const std::vector<chat_message>& before,
                                    response_request& to);

parsed<response_request>
parse_response_request(std::string_view body, const sampling_defaults& defaults,
                       const request_limits& limits = {});

} // namespace troupe::http
