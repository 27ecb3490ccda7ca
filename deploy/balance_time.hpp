#pragma once

/// What flags say of how often or how soon something is balanced.

#include "runtime/error.hpp"

#include <chrono>
#include <string>

namespace troupe {

/// "10s", 100 ms at least: shorter ones find nothing new, since nodes report
/// once a second. Error: invalid_input, which names `flag`.
result<std::chrono::milliseconds> read_balance_time(const std::string& flag,
                                                    const std::string& text);

} // namespace troupe
