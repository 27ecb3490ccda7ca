#pragma once

/// How exact the arithmetic is that a user asks for.

#include "runtime/error.hpp"

#include <cstdint>
#include <string_view>

namespace troupe {

/// --activations: what products see and what travels. See ARCHITECTURE.md.
enum class precision : uint8_t { fp8, bf16, fp32 };

result<precision> parse_precision(std::string_view text);
std::string_view to_string(precision x);

} // namespace troupe
