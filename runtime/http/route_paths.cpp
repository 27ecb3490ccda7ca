#include "runtime/http/route_paths.hpp"

namespace troupe::http {

bool is_path_of(std::string_view route, std::string_view path) {
  if (!route.ends_with('/'))
    return path == route;
  if (!path.starts_with(route) || path.size() == route.size())
    return false;
  auto name = path.substr(route.size());
  return route != "/v1/responses/"
         || (name.find('/') == name.npos && name != "input_tokens"
             && name != "compact");
}

} // namespace troupe::http
