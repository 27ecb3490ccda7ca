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

/// How a stored response is to be told.
struct response_replay {
  bool stream = false; ///< As its events, else whole.
  uint64_t first = 0;  ///< The number of the first of them.
};

/// Of a GET. What nobody knows is ignored, as in bodies.
parsed<response_replay> parse_replay(std::string_view query);

parsed<response_request>
parse_response_request(std::string_view body, const sampling_defaults& defaults,
                       const request_limits& limits = {});

} // namespace troupe::http
