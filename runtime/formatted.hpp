#pragma once

/// A text as printf would write it, of whatever length.

#include <string>

namespace troupe {

[[gnu::format(printf, 1, 2)]] std::string formatted(const char* pattern, ...);

} // namespace troupe
