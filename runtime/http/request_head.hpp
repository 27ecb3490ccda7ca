#pragma once

/// The head of a request, from its bytes. Two readers that disagree on where a
/// request ends are how requests are smuggled, so everything that leaves room
/// for a second reading is refused.

#include "runtime/error.hpp"
#include "runtime/http/message.hpp"

#include <cstddef>
#include <string_view>

namespace troupe::http {

/// At the end of each line.
inline constexpr std::string_view crlf = "\r\n";

struct head_limits {
  size_t max_bytes = 16 << 10; ///< Request line and headers.
  size_t max_request_line = 8 << 10;
  size_t max_lines = 64; ///< Headers.
};

/// Whether `c` may stand in a method or in the name of a header.
bool is_token_char(char c);

/// Whether `c` may stand in a header's value.
bool is_value_char(char c);

/// Whether two words are the same in whatever case.
bool same_word(std::string_view a, std::string_view b);

/// `x` without the blanks around it.
std::string_view trim(std::string_view x);

/// Reads `head`, which ends with its first empty line: no bare CR, LF or other
/// control, no folded line, no space before a colon, one Content-Length of
/// digits alone or one Transfer-Encoding that is "chunked", never both,
/// exactly one Host, that may be one, in HTTP/1.1, one Authorization at most.
/// Of a target that names a host, as proxies are sent it, the path counts. A
/// later HTTP/1.x is read as HTTP/1.1. A failure with errc::overloaded is one
/// of size, one with errc::refused another major version of HTTP.
result<request_head> parse_head(std::string_view head,
                                const head_limits& limits);

} // namespace troupe::http
