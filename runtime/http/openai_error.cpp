#include "runtime/http/openai_error.hpp"

#include "runtime/json/dump_text.hpp"
#include "runtime/json/text_or_null.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::ordered_json;

} // namespace

api_error bad_parameter(std::string param, std::string message,
                        std::string code) {
  api_error x;
  x.message = std::move(message);
  x.param = std::move(param);
  x.code = std::move(code);
  return x;
}

api_error to_api_error(const failure& why) {
  switch (why.code) {
    case errc::invalid_input:
      return {400, "invalid_request_error", why.message, "", ""};
    case errc::not_found:
      return {404, "invalid_request_error", why.message, "", "not_found"};
    case errc::context_too_long:
      return {400, "invalid_request_error", why.message, "messages",
              "context_length_exceeded"};
    case errc::overloaded:
      return {429, "rate_limit_error", why.message, "", "overloaded"};
    case errc::cancelled:
    case errc::step_failed:
    case errc::deadline_passed:
    case errc::peer_lost:
    case errc::refused:
      return {503, "service_unavailable_error", why.message, "",
              to_string(why.code)};
    case errc::quarantined: // whoever asks again may kill the next one
    case errc::out_of_memory:
    case errc::io:
      break;
  }
  return {500, "server_error", why.message, "", to_string(why.code)};
}

std::string render_error(const api_error& error) {
  ordered_json body = {{"message", error.message},
                       {"type", error.type},
                       {"param", text_or_null(error.param)},
                       {"code", text_or_null(error.code)}};
  return dump_text(ordered_json{{"error", std::move(body)}});
}

reply to_reply(const api_error& error) {
  reply x;
  x.status = error.status;
  x.body = render_error(error);
  if (error.status == 429 || error.status == 503)
    x.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  if (error.code == to_string(errc::quarantined)) // clients' libraries know it
    x.headers.emplace_back("X-Should-Retry", "false");
  if (error.status == 401)
    x.headers.emplace_back("WWW-Authenticate", "Bearer");
  return x;
}

} // namespace troupe::http
