#pragma once

/// The one way in for JSON from outside, files and requests alike. It must keep
/// to the grammar, UTF-8, limits, and no object with the same key twice (two
/// readers could otherwise see two different files). Its time is that of the
/// text's length n, times log n for the keys of one object, whatever they are:
/// nothing is hashed.

#include "runtime/error.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe {

struct json_limits {
  size_t max_depth = 32;        ///< Objects and lists within each other.
  size_t max_values = SIZE_MAX; ///< Objects and lists count as one, too.
  size_t max_keys = SIZE_MAX;   ///< Of one object.
};

/// Reads all of `text`. Error: invalid_input; its sentence begins with `what`,
/// e.g. "config.json".
result<nlohmann::json> parse_json(std::string_view what, std::string_view text,
                                  const json_limits& limits = {});

/// Reads a text that parse_json has taken once more, with the members of each
/// object in their order, in the time of its length. (nlohmann's own reader
/// looks through all names of an object for each one that comes.)
nlohmann::ordered_json parse_in_order(std::string_view text);

} // namespace troupe
