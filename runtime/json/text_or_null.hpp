#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace troupe {

/// Null if there is no text.
inline nlohmann::ordered_json text_or_null(const std::string& x) {
  return x.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(x);
}

} // namespace troupe
