#include "runtime/http/request_head.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::http {

namespace {

constexpr size_t max_digits = 18; ///< Of a length: no overflow.

failure bad_head(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

failure too_big(std::string why) {
  return {errc::overloaded, std::move(why)};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Whether the list `value`, parted by commas, holds `word`.
bool lists(std::string_view value, std::string_view word) {
  while (!value.empty()) {
    auto comma = std::min(value.find(','), value.size());
    if (same_word(trim(value.substr(0, comma)), word))
      return true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return false;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_digits(std::string_view x) {
  return !x.empty() && x.size() <= max_digits
         && std::ranges::all_of(x, is_digit);
}

/// Of "HTTP/1.1": "1.1"; else nothing.
std::string_view version_of(std::string_view word) {
  constexpr std::string_view name = "HTTP/";
  if (!word.starts_with(name))
    return {};
  word.remove_prefix(name.size());
  auto is_one = word.size() == 3 && is_digit(word[0]) && word[1] == '.'
                && is_digit(word[2]);
  return is_one ? word : std::string_view{};
}

/// What follows the host of a `target` that names one ("http://host/path"):
/// the path that is meant. Else the target itself; nothing: the host is none.
std::string_view without_host(std::string_view target) {
  auto colon = target.find("://");
  if (colon == target.npos
      || (!same_word(target.substr(0, colon), "http")
          && !same_word(target.substr(0, colon), "https")))
    return target;
  auto rest = target.substr(colon + 3);
  auto host = rest.substr(0, rest.find_first_of("/?"));
  if (host.empty() || host.find('@') != host.npos)
    return {};
  rest.remove_prefix(host.size());
  return rest.starts_with('/') ? rest : "/";
}

/// Whether a host with its port may be so written (RFC 3986), or none.
bool is_host(std::string_view x) {
  constexpr std::string_view signs = "-._~%!$&'()*+,;=:[]";
  return std::ranges::all_of(x, [&](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z')
           || signs.find(c) != signs.npos;
  });
}

class head_parser {
public:
  explicit head_parser(const head_limits& limits) : limits_(limits) {
  }

  result<request_head> parse(std::string_view text) {
    auto end = text.find(crlf);
    if (end > limits_.max_request_line)
      return too_big("the request line is longer than "
                     + std::to_string(limits_.max_request_line) + " bytes");
    if (auto ok = read_request_line(text.substr(0, end)); !ok)
      return ok.why();
    auto rest = text.substr(end + crlf.size());
    for (size_t lines = 0; !rest.starts_with(crlf); ++lines) {
      if (lines == limits_.max_lines)
        return too_big("the request has more than "
                       + std::to_string(limits_.max_lines) + " header lines");
      end = rest.find(crlf);
      if (auto ok = read_line(rest.substr(0, end)); !ok)
        return ok.why();
      rest.remove_prefix(end + crlf.size());
    }
    if (auto ok = check_counts(); !ok)
      return ok.why();
    return std::move(head_);
  }

private:
  /// METHOD SP TARGET SP HTTP/1.x
  result<void> read_request_line(std::string_view line) {
    auto first = line.find(' ');
    auto last = line.rfind(' ');
    if (first == line.npos || first == last)
      return bad_head("the request is not HTTP: no method, target and version");
    auto method = line.substr(0, first);
    auto target = line.substr(first + 1, last - first - 1);
    auto version = line.substr(last + 1);
    if (method.empty() || !std::ranges::all_of(method, is_token_char))
      return bad_head("the request is not HTTP: its method is no word");
    if (target.empty() || !std::ranges::all_of(target, [](char c) {
          return c > ' ' && c < '\x7f';
        }))
      return bad_head("the request's target holds more than visible ASCII");
    auto number = version_of(version);
    if (number.empty())
      return bad_head("the only versions accepted are HTTP/1.1 and HTTP/1.0");
    if (number[0] != '1')
      return failure{errc::refused, "HTTP/" + std::string{number}
                                      + " is not spoken here, but HTTP/1.1"};
    target = without_host(target);
    if (target.empty())
      return bad_head("the request's target names no host");
    head_.method = method;
    auto path_end = std::min(target.find('?'), target.size());
    head_.path = target.substr(0, path_end);
    head_.query = target.substr(std::min(path_end + 1, target.size()));
    head_.http_11 = number != "1.0";
    head_.keep_alive = head_.http_11;
    return {};
  }

  result<void> read_line(std::string_view line) {
    if (line.front() == ' ' || line.front() == '\t')
      return bad_head("folded header lines are not accepted");
    auto colon = line.find(':');
    if (colon == line.npos || colon == 0)
      return bad_head("a header line has no name");
    auto name = line.substr(0, colon);
    if (!std::ranges::all_of(name, is_token_char))
      return bad_head("a header name holds white space or other signs");
    auto value = trim(line.substr(colon + 1));
    if (!std::ranges::all_of(value, is_value_char))
      return bad_head("a header's value holds a bare CR, LF or other control");
    return read_field(name, value);
  }

  result<void> read_field(std::string_view name, std::string_view value) {
    if (same_word(name, "host")) {
      ++num_hosts_;
      if (!is_host(value))
        return bad_head("the Host header names no host");
    }
    if (same_word(name, "connection") && lists(value, "close"))
      head_.keep_alive = false;
    if (same_word(name, "expect"))
      head_.expects_continue = same_word(value, "100-continue");
    if (same_word(name, "authorization")) {
      if (++num_authorizations_ > 1)
        return bad_head("more than one Authorization header");
      head_.authorization = value;
    }
    read_meaning(name, value);
    if (same_word(name, "content-length")) {
      ++num_lengths_;
      if (!all_digits(value))
        return bad_head("Content-Length is not a number");
      std::from_chars(value.data(), value.data() + value.size(), head_.length);
    }
    if (same_word(name, "transfer-encoding")) {
      ++num_encodings_;
      if (!same_word(value, "chunked"))
        return bad_head("the only Transfer-Encoding accepted is chunked");
      head_.chunked = true;
    }
    return {};
  }

  /// What decides nothing of how the request is read. Of several lines with
  /// one name the first counts.
  void read_meaning(std::string_view name, std::string_view value) {
    const std::pair<const char*, std::string*> known[] = {
      {"content-type", &head_.content_type},
      {"content-encoding", &head_.content_encoding},
      {"x-api-key", &head_.api_key},
      {"x-request-id", &head_.request_id},
      {"origin", &head_.origin},
      {"access-control-request-method", &head_.asked_method},
      {"access-control-request-headers", &head_.asked_headers},
    };
    for (auto& [wanted, to] : known)
      if (to->empty() && same_word(name, wanted))
        *to = value;
    if (same_word(name, "origin") || same_word(name, "sec-fetch-site"))
      head_.from_browser = true;
  }

  result<void> check_counts() const {
    if (num_lengths_ + num_encodings_ > 1)
      return bad_head("more than one header says where the request ends");
    if (num_encodings_ > 0 && !head_.http_11)
      return bad_head("Transfer-Encoding needs HTTP/1.1");
    if (num_hosts_ > 1 || (head_.http_11 && num_hosts_ == 0))
      return bad_head("exactly one Host header is needed");
    return {};
  }

  const head_limits& limits_;
  request_head head_;
  int num_hosts_ = 0;
  int num_lengths_ = 0;
  int num_encodings_ = 0;
  int num_authorizations_ = 0;
};

} // namespace

bool is_token_char(char c) {
  constexpr std::string_view signs = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z')
         || signs.find(c) != signs.npos;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trim(std::string_view x) {
  while (!x.empty() && (x.front() == ' ' || x.front() == '\t'))
    x.remove_prefix(1);
  while (!x.empty() && (x.back() == ' ' || x.back() == '\t'))
    x.remove_suffix(1);
  return x;
}

bool is_value_char(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

result<request_head> parse_head(std::string_view head,
                                const head_limits& limits) {
  if (head.size() > limits.max_bytes)
    return too_big("the request's head is larger than "
                   + std::to_string(limits.max_bytes) + " bytes");
  if (!head.ends_with("\r\n\r\n"))
    return bad_head("the request's head does not end");
  return head_parser{limits}.parse(head);
}

} // namespace troupe::http
