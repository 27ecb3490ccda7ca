#pragma once

/// Of which types the values of a JSON schema are.

#include "runtime/json/strict_json.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Those that `schema`, an object, names, or the one that its other members
/// mean; empty: it does not say.
std::vector<std::string> schema_types(const nlohmann::ordered_json& schema);

/// Whether `value` is of one of `types`; whole numbers are of two.
bool is_of(const nlohmann::ordered_json& value,
           const std::vector<std::string>& types);

/// What a '$ref' of "#" or "#/..." stands for in `root`; null: nothing.
const nlohmann::ordered_json* schema_at(const nlohmann::ordered_json& root,
                                        std::string_view ref);

/// Whether all values of `schema`, a part of `root`, are surely of one of
/// `types`.
bool keeps_to(const nlohmann::ordered_json& schema,
              const nlohmann::ordered_json& root,
              const std::vector<std::string>& types);

} // namespace troupe
