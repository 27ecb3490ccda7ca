#pragma once

/// Numbers and paths as text.

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::http {

/// 32 digits in lower case.
std::string hex(uint64_t a, uint64_t b);

/// %XX becomes the byte; anything else stays.
std::string percent_decode(std::string_view x);

} // namespace troupe::http
