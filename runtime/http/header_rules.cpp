#include "runtime/http/header_rules.hpp"

#include <algorithm>
#include <string>

namespace troupe::http {

namespace {

constexpr std::string_view end_of_head = "\r\n\r\n";

failure bad(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

failure too_big(std::string why) {
  return {errc::overloaded, std::move(why)};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trim(std::string_view x) {
  while (!x.empty() && (x.front() == ' ' || x.front() == '\t'))
    x.remove_prefix(1);
  while (!x.empty() && (x.back() == ' ' || x.back() == '\t'))
    x.remove_suffix(1);
  return x;
}

bool all_digits(std::string_view x) {
  return !x.empty() && x.size() <= 18
         && std::ranges::all_of(x, [](char c) { return c >= '0' && c <= '9'; });
}

/// How often the headers that decide on the request's end have come.
struct framing {
  int lengths = 0;
  int encodings = 0;
  int hosts = 0;
};

result<void> check_line(std::string_view line, framing& seen) {
  if (line.front() == ' ' || line.front() == '\t')
    return bad("folded header lines are not accepted");
  auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0)
    return bad("a header line has no name");
  auto name = line.substr(0, colon);
  if (name.find_first_of(" \t") != std::string_view::npos)
    return bad("a header name holds white space");
  auto value = trim(line.substr(colon + 1));
  if (same(name, "host"))
    ++seen.hosts;
  if (same(name, "content-length")) {
    ++seen.lengths;
    if (!all_digits(value))
      return bad("Content-Length is not a number");
  }
  if (same(name, "transfer-encoding")) {
    ++seen.encodings;
    if (!same(value, "chunked"))
      return bad("the only Transfer-Encoding accepted is chunked");
  }
  return {};
}

result<void> check_framing(const framing& seen, bool http_11) {
  if (seen.lengths + seen.encodings > 1)
    return bad("more than one header says where the request ends");
  if (seen.encodings > 0 && !http_11)
    return bad("Transfer-Encoding needs HTTP/1.1");
  if (seen.hosts > 1 || (http_11 && seen.hosts == 0))
    return bad("exactly one Host header is needed");
  return {};
}

bool has_stray_control(std::string_view head) {
  for (size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\0')
      return true;
    if (head[i] == '\n' && (i == 0 || head[i - 1] != '\r'))
      return true;
    if (head[i] == '\r' && (i + 1 == head.size() || head[i + 1] != '\n'))
      return true;
  }
  return false;
}

} // namespace

size_t head_size(std::string_view text) {
  auto at = text.find(end_of_head);
  return at == std::string_view::npos ? 0 : at + end_of_head.size();
}

result<void> check_head(std::string_view head, const head_limits& limits) {
  if (head.size() > limits.max_bytes)
    return too_big("the request's head is larger than "
                   + std::to_string(limits.max_bytes) + " bytes");
  if (head_size(head) != head.size() || has_stray_control(head))
    return bad("the request's head holds a bare CR, LF or NUL");
  auto line_end = head.find("\r\n");
  if (line_end > limits.max_request_line)
    return too_big("the request line is longer than "
                   + std::to_string(limits.max_request_line) + " bytes");
  auto http_11 = head.substr(0, line_end).ends_with(" HTTP/1.1");
  auto rest = head.substr(line_end + 2);
  framing seen;
  for (size_t lines = 0; !rest.starts_with("\r\n"); ++lines) {
    if (lines == limits.max_lines)
      return too_big("the request has more than "
                     + std::to_string(limits.max_lines) + " header lines");
    auto n = rest.find("\r\n");
    if (auto ok = check_line(rest.substr(0, n), seen); !ok)
      return ok;
    rest.remove_prefix(n + 2);
  }
  return check_framing(seen, http_11);
}

} // namespace troupe::http
