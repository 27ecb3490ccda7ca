#pragma once

/// Numbers and paths as text.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::http {

/// 32 digits in lower case.
std::string hex(uint64_t a, uint64_t b);

/// %XX becomes the byte; anything else stays.
std::string percent_decode(std::string_view x);

/// The members of `a=b&c`, decoded: ("a", "b"), ("c", "").
std::vector<std::pair<std::string, std::string>>
split_query(std::string_view query);

} // namespace troupe::http
