#include "runtime/http/admin_routes.hpp"

#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& x) {
  return x.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

std::string render_faults(const std::vector<std::string>& active) {
  return dump({{"active", active}});
}

std::string render_log_level(log_level level) {
  return dump({{"level", to_string(level)}});
}

parsed<log_level> parse_log_level_body(std::string_view body) {
  auto in = field_reader::parse("the body", body);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  auto level = parse_log_level(in->text("level"));
  if (!level)
    return bad_parameter("level", "Invalid value for 'level': must be error, "
                                  "warning, info or debug.");
  return *level;
}

} // namespace troupe::http
