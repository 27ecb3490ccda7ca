#include "runtime/http/route_refusals.hpp"

#include "runtime/http/api_refusals.hpp"
#include "runtime/http/cross_origin.hpp"
#include "runtime/http/messages_answer.hpp"
#include "runtime/http/request_head.hpp"

namespace troupe::http {

namespace {

constexpr size_t max_told = 256; ///< Bytes of a header in a sentence.

api_error refusal(unsigned status, std::string why) {
  return {status, "invalid_request_error", std::move(why), "", ""};
}

/// HEAD goes wherever GET does.
std::string with_head(std::string_view methods) {
  std::string out{methods};
  if (methods.find("GET") != methods.npos)
    out += ", HEAD";
  return out;
}

} // namespace

reply told_to(std::string_view path, const std::string& request_id,
              const api_error& why) {
  return path.starts_with(messages_path) ? to_messages_reply(why, request_id)
                                         : to_reply(why);
}

reply told_to(const request_head& head, const api_error& why) {
  return told_to(head.path, head.request_id, why);
}

reply no_such_route(const request_head& head, std::string_view methods) {
  auto out = told_to(head, unknown_route(head, !methods.empty()));
  if (!methods.empty())
    out.headers.emplace_back("Allow", with_head(methods));
  return out;
}

std::optional<reply> refuse_body(const request_head& head, bool is_taken) {
  if (!is_taken && !head.has_body())
    return std::nullopt;
  if (!is_taken)
    return told_to(head,
                   refusal(400, "a " + head.method + " request takes no body"));
  if (!has_json_type(head))
    return told_to(head, refusal(415, "the body's Content-Type must be "
                                      "application/json, not '"
                                        + head.content_type.substr(0, max_told)
                                        + "'"));
  const auto& packed = head.content_encoding;
  if (packed.empty() || same_word(packed, "identity"))
    return std::nullopt;
  auto out = told_to(
    head, refusal(415, "the body must not be packed, as Content-Encoding '"
                         + packed.substr(0, max_told) + "' says it is"));
  out.headers.emplace_back("Accept-Encoding", "identity");
  return out;
}

std::optional<reply> whole_server(const request_head& head) {
  if (head.method != "OPTIONS" || head.path != "*" || head.has_body())
    return std::nullopt;
  reply out;
  out.status = 204;
  out.headers.emplace_back("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
  return out;
}

} // namespace troupe::http
