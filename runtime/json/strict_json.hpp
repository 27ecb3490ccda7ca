#pragma once

/// What JSON from outside must keep to before anybody looks at what it says:
/// the grammar, UTF-8, a depth, and no object with the same key twice (two
/// readers could otherwise see two different files).

#include "runtime/error.hpp"

#include <string_view>

namespace troupe {

/// Checks all of `text`. Error: invalid_input; its sentence begins with
/// `what`, e.g. "config.json".
result<void> check_json(std::string_view what, std::string_view text,
                        size_t max_depth = 32);

} // namespace troupe
