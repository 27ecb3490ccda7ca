#pragma once

/// Refusals of requests by their heads, in the words of those who use the path.

#include "runtime/http/message.hpp"
#include "runtime/http/openai_error.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

/// Where Anthropic's clients ask, and what lies below.
constexpr const char* messages_path = "/v1/messages";

/// `why` in the form that those who use `path` know; `request_id` may be empty.
reply told_to(std::string_view path, const std::string& request_id,
              const api_error& why);
reply told_to(const request_head& head, const api_error& why);

/// No such path, if it has no `methods` ("GET, DELETE"), or not for that one:
/// then Allow says which there are.
reply no_such_route(const request_head& head, std::string_view methods);

/// What refuses the body of `head` before it comes; `is_taken`: the route has
/// one, of JSON and not packed.
std::optional<reply> refuse_body(const request_head& head, bool is_taken);

/// The answer to "OPTIONS *", the question what a server knows at all, if
/// `head` is that.
std::optional<reply> whole_server(const request_head& head);

} // namespace troupe::http
