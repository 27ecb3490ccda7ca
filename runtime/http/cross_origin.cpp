#include "runtime/http/cross_origin.hpp"

#include "runtime/http/request_head.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

constexpr const char* readable = "X-Request-Id, Retry-After";
constexpr const char* hour = "3600"; ///< s; what a browser may remember.

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
      || head.asked_method.empty() || methods.empty())
    return std::nullopt;
  reply out;
  out.status = 204;
  if (!allows(head.origin))
    return out; // without a word: the browser refuses it
  out.headers.emplace_back("Access-Control-Allow-Methods", methods);
  // Any header: none of them opens anything but the right key.
  if (!head.asked_headers.empty())
    out.headers.emplace_back("Access-Control-Allow-Headers",
                             head.asked_headers);
  out.headers.emplace_back("Access-Control-Max-Age", hour);
  return out;
}

bool cross_origin::allows(const std::string& origin) const {
  return std::ranges::any_of(allowed_,
                             [&](auto& x) { return x == "*" || x == origin; });
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
