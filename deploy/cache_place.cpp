#include "deploy/cache_place.hpp"

#include <cstdlib>
#include <filesystem>

namespace troupe {

std::string cache_place() {
  for (auto [variable, below] :
       {std::pair{"XDG_CACHE_HOME", ""}, {"HOME", ".cache"}}) {
    auto named = std::getenv(variable);
    std::filesystem::path base{named ? named : ""};
    if (base.is_absolute())
      return (base / below / "troupe").string();
  }
  return {};
}

} // namespace troupe
