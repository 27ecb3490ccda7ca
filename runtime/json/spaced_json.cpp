#include "runtime/json/spaced_json.hpp"

namespace troupe {

std::string spaced_json(const nlohmann::ordered_json& x) {
  using json = nlohmann::ordered_json;
  if (!x.is_structured())
    return x.dump(-1, ' ', false, json::error_handler_t::replace);
  bool is_object = x.is_object();
  std::string out;
  for (const auto& [key, value] : x.items()) {
    out += out.empty() ? "" : ", ";
    if (is_object)
      out += json(key).dump() + ": ";
    out += spaced_json(value);
  }
  return is_object ? "{" + out + "}" : "[" + out + "]";
}

} // namespace troupe
