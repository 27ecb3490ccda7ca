#pragma once

/// Lists as people write them in a flag: "a=1,b=2".

#include <string_view>
#include <vector>

namespace troupe {

/// What stands between any of `separators`, in order; at least one part, and
/// parts may be empty.
std::vector<std::string_view> split_list(std::string_view text,
                                         std::string_view separators = ",");

} // namespace troupe
