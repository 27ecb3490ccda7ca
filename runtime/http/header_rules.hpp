#pragma once

/// What a request's head must look like before any parser sees it. Two parsers
/// that disagree on where a request ends are how requests are smuggled, so
/// everything that leaves room for a second reading is refused.

#include "runtime/error.hpp"

#include <cstddef>
#include <string_view>

namespace troupe::http {

struct head_limits {
  size_t max_bytes = 16 << 10; ///< Request line and headers.
  size_t max_request_line = 8 << 10;
  size_t max_lines = 64; ///< Headers.
};

/// Returns the bytes of the head that `text` starts with, its empty line
/// included, or 0 if that line has not come yet.
size_t head_size(std::string_view text);

/// Says what is wrong with `head`: no bare CR, LF or NUL, no folded line, no
/// space before a colon, one Content-Length of digits alone or one
/// Transfer-Encoding that is "chunked", never both, exactly one Host in
/// HTTP/1.1. A failure with errc::overloaded is one of size.
result<void> check_head(std::string_view head, const head_limits& limits);

} // namespace troupe::http
