#pragma once

/// Numbers with a unit as people write them: "2.5ms", "10gbit".

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace troupe {

struct quantity_unit {
  std::string_view name;
  int64_t worth; ///< In the smallest unit that counts.
};

/// Reads a number, whole or with a point, and its unit, of which one that is
/// the end of another's name comes after it. Nothing if it is none, negative,
/// 10^15 or more, or has parts of the smallest unit.
std::optional<int64_t> parse_quantity(std::string_view text,
                                      std::span<const quantity_unit> units);

} // namespace troupe
