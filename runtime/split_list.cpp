#include "runtime/split_list.hpp"

namespace troupe {

std::vector<std::string_view> split_list(std::string_view text,
                                         std::string_view separators) {
  std::vector<std::string_view> out;
  for (;;) {
    auto end = text.find_first_of(separators);
    out.push_back(text.substr(0, end));
    if (end == text.npos)
      return out;
    text.remove_prefix(end + 1);
  }
}

} // namespace troupe
