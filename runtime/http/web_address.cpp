#include "runtime/http/web_address.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::http {

namespace {

failure bad(std::string_view text, const char* why) {
  return {errc::invalid_input, "'" + std::string{text} + "' " + why};
}

bool is_plain(unsigned char c) {
  return c > ' ' && c < 0x7f && c != '?' && c != '#' && c != '@';
}

} // namespace

std::string web_address::authority() const {
  auto is_v6 = host.find(':') != host.npos;
  auto out = is_v6 ? "[" + host + "]" : host;
  if (port != (tls ? 443 : 80))
    out += ":" + std::to_string(port);
  return out;
}

result<web_address> parse_web_address(std::string_view text) {
  web_address out;
  auto rest = text;
  constexpr std::string_view clear = "http://", secure = "https://";
  if (rest.starts_with(secure)) {
    out.tls = true;
    out.port = 443;
    rest.remove_prefix(secure.size());
  } else if (rest.starts_with(clear)) {
    rest.remove_prefix(clear.size());
  } else {
    return bad(text, "has to begin with http:// or https://");
  }
  if (!std::ranges::all_of(rest, is_plain))
    return bad(text, "holds what is no part of a host or a path");
  auto slash = std::min(rest.find('/'), rest.size());
  out.path = rest.substr(slash);
  while (out.path.ends_with('/'))
    out.path.pop_back();
  auto where = rest.substr(0, slash);
  auto bracket = where.starts_with('[') ? where.find(']') : 0;
  if (bracket == where.npos)
    return bad(text, "has an address without its ']'");
  auto colon = where.find(':', bracket);
  auto host = where.substr(0, colon);
  out.host = bracket > 0 ? host.substr(1, bracket - 1) : host;
  if (out.host.empty() || (bracket > 0 && host.size() != bracket + 1))
    return bad(text, "names no host");
  if (colon == where.npos)
    return out;
  auto digits = where.substr(colon + 1);
  auto end = digits.data() + digits.size();
  auto [stop, ec] = std::from_chars(digits.data(), end, out.port);
  if (ec != std::errc{} || stop != end || out.port == 0)
    return bad(text, "has a port that is none");
  return out;
}

} // namespace troupe::http
