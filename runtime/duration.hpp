#pragma once

/// Spans of time as people write them: "10s", "2.5ms".

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// What to say of a text that parse_duration does not take.
constexpr std::string_view duration_form
  = "must be a time such as \"1.5s\", its unit ns, us, ms, s or min, below "
    "1000000 s";

/// Reads a number, whole or with a point, and its unit. Nothing if it is none,
/// negative, 10^6 s or more, or has parts of a nanosecond.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// Writes what parse_duration reads back to the same. x >= 0.
std::string render_duration(std::chrono::nanoseconds x);

} // namespace troupe
