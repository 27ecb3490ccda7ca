#include "runtime/node_name.hpp"

namespace troupe {

bool is_node_name(std::string_view text) {
  return !text.empty() && text.size() <= 63
         && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-")
              == std::string_view::npos;
}

} // namespace troupe
