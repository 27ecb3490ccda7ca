#include "runtime/http/cross_origin.hpp"

#include "runtime/http/request_head.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

constexpr const char* readable
  = "X-Request-Id, request-id, Retry-After, x-ratelimit-limit-requests, "
    "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, "
    "x-ratelimit-reset-tokens";
constexpr std::string_view any_method = "GET, POST, DELETE";
constexpr const char* hour = "3600"; ///< s; what a browser may remember.

bool is_origin_char(char c) {
  constexpr std::string_view signs = ".-_+:/[]";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
         || (c >= '0' && c <= '9') || signs.find(c) != signs.npos;
}

} // namespace

cross_origin::cross_origin(std::vector<std::string> allowed)
  : allowed_(std::move(allowed)) {
}

header_list cross_origin::headers_for(const std::string& origin) const {
  if (origin.empty() || allowed_.empty())
    return {};
  header_list out{{"Vary", "Origin"}};
  if (allows(origin)) {
    out.emplace_back("Access-Control-Allow-Origin", origin);
    out.emplace_back("Access-Control-Expose-Headers", readable);
  }
  return out;
}

std::optional<reply> cross_origin::answer(const request_head& head,
                                          std::string_view methods) const {
  if (head.method != "OPTIONS" || head.origin.empty()
      || head.asked_method.empty())
    return std::nullopt;
  reply out;
  out.status = 204;
  if (!allows(head.origin))
    return out; // without a word: the browser refuses it
  out.headers.emplace_back("Access-Control-Allow-Methods",
                           methods.empty() ? any_method : methods);
  // Any header: none of them opens anything but the right key.
  if (!head.asked_headers.empty())
    out.headers.emplace_back("Access-Control-Allow-Headers",
                             head.asked_headers);
  out.headers.emplace_back("Access-Control-Max-Age", hour);
  return out;
}

bool cross_origin::allows(const std::string& origin) const {
  return std::ranges::any_of(
    allowed_, [&](auto& x) { return x == "*" || same_word(x, origin); });
}

result<void> check_origin(const std::string& text) {
  auto no = [&](const std::string& why) {
    return failure{errc::invalid_input, "'" + text + "' is no origin: " + why};
  };
  if (text == "*" || text == "null")
    return {};
  auto colon = text.find("://");
  if (colon == text.npos || colon == 0)
    return no("a browser sends one like https://chat.example.org");
  std::string_view scheme{text.data(), colon};
  auto host = std::string_view{text}.substr(colon + 3);
  if (host.empty() || host.find_first_of("/?#@") != host.npos)
    return no("behind the scheme a browser sends a host, maybe a port, and "
              "nothing else, no final '/' either");
  if (!std::ranges::all_of(text, is_origin_char))
    return no("a browser sends letters, digits and signs of a host");
  if ((same_word(scheme, "http") && host.ends_with(":80"))
      || (same_word(scheme, "https") && host.ends_with(":443")))
    return no("a browser leaves the usual port out");
  return {};
}

bool has_json_type(const request_head& head) {
  std::string_view type = head.content_type;
  type = trim(type.substr(0, type.find(';')));
  if (same_word(type, "application/json"))
    return true;
  return !head.from_browser
         && (type.empty()
             || same_word(type, "application/x-www-form-urlencoded"));
}

} // namespace troupe::http
