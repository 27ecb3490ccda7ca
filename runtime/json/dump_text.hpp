#pragma once

/// JSON as a client gets it.

#include <nlohmann/json.hpp>

#include <string>

namespace troupe {

/// One line without blanks; bytes that are no UTF-8 become U+FFFD. What is not
/// said to be sorted by name keeps its members in their order.
template <class Json = nlohmann::ordered_json>
std::string dump_text(const Json& x) {
  return x.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace troupe
