#pragma once

/// JSON as Python's json.dumps spaces it, which is how models have seen it.

#include <nlohmann/json.hpp>

#include <string>

namespace troupe {

/// One line; members in their order, a blank behind each comma and colon.
std::string spaced_json(const nlohmann::ordered_json& x);

} // namespace troupe
