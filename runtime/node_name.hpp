#pragma once

#include <string_view>

namespace troupe {

/// What nodes and clusters may be called: 1 to 63 of a-z, 0-9, '-' and '_'.
bool is_node_name(std::string_view text);

} // namespace troupe
