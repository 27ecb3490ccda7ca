#pragma once

/// Answers as bytes of HTTP/1.1.

#include "runtime/http/message.hpp"

namespace troupe::http {

/// Status line and headers. `framing` is the header that says where the body
/// ends, its line break included, or empty.
std::string render_head(const reply& what, std::string_view framing,
                        bool keep_alive);

/// The moment `unix_time`, s, as a Date header says it.
std::string http_date(int64_t unix_time);

/// The header that gives the length of `what.body`.
std::string content_length(const reply& what);

/// `bytes`, of which there are some, as a chunk.
std::string chunk(std::string_view bytes);

} // namespace troupe::http
