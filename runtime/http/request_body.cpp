#include "runtime/http/request_body.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe::http {

namespace {

const char* code_of(field_fault fault) {
  switch (fault) {
    case field_fault::type:
      return "invalid_type";
    case field_fault::missing:
      return "missing_required_parameter";
    case field_fault::unsupported:
      return "unsupported_parameter";
    case field_fault::value:
      break;
  }
  return "invalid_value";
}

} // namespace

api_error in_openai_words(const field_trouble& x) {
  auto message = x.fault == field_fault::missing
                   ? "Missing required parameter: '" + x.path + "'."
                   : "Invalid value for '" + x.path + "': " + x.why + ".";
  return bad_parameter(x.path, std::move(message), code_of(x.fault));
}

result<field_reader> read_body(std::string_view body,
                               const request_limits& limits) {
  json_limits within;
  within.max_depth = limits.max_depth;
  within.max_values = limits.max_values;
  within.max_keys = limits.max_keys;
  return field_reader::parse("the body", body, within);
}

std::string read_text_parts(field_reader& in, std::string_view name,
                            std::initializer_list<std::string_view> types) {
  const auto* x = in.find(name);
  if (!x || !x->is_array())
    return x ? in.text_at(*x, name) : std::string{};
  std::string all, known;
  for (auto type : types)
    known += (known.empty() ? "'" : "' or '") + std::string{type};
  for (const auto& part : *x) {
    auto is_known = [&](std::string_view type) {
      return part.is_object() && part.contains("text")
             && part.value("type", nlohmann::json()) == type;
    };
    if (std::ranges::none_of(types, is_known)) {
      in.refuse(name, "only parts of the type " + known + "' are supported");
      return {};
    }
    all += in.text_at(part["text"], name);
  }
  return all;
}

} // namespace troupe::http
