#pragma once

/// Where this user keeps what can be made again.

#include <string>

namespace troupe {

/// Returns a folder of Troupe's own below XDG_CACHE_HOME, or below .cache in
/// the home; empty if neither is known. It need not exist.
std::string cache_place();

} // namespace troupe
