#pragma once

/// What is said on the admin socket.

#include "runtime/http/openai_error.hpp"
#include "runtime/log.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

/// What is broken on purpose.
std::string render_faults(const std::vector<std::string>& active);

/// {"level": "info"}
std::string render_log_level(log_level level);
parsed<log_level> parse_log_level_body(std::string_view body);

} // namespace troupe::http
