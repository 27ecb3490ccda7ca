#include "runtime/text/partial_mark.hpp"

#include <algorithm>

namespace troupe {

size_t beginning_at_end(std::string_view text, std::string_view mark) {
  auto length = std::min(text.size(), mark.size() - 1);
  while (!text.ends_with(mark.substr(0, length)))
    --length;
  return length;
}

} // namespace troupe
