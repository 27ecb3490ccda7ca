#include "runtime/grammar/schema_types.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace troupe {

namespace {

using nlohmann::ordered_json;
using strings = std::vector<std::string>;

std::string unescaped(std::string x) {
  for (auto [code, sign] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}})
    for (size_t at = 0; (at = x.find(code, at)) != x.npos; ++at)
      x.replace(at, 2, sign);
  return x;
}

bool is_one(const ordered_json& value, std::string_view type) {
  if (type == "integer")
    return value.is_number_integer()
           || (value.is_number_float()
               && std::floor(value.get<double>()) == value.get<double>());
  return (type == "number" && value.is_number())
         || (type == "string" && value.is_string())
         || (type == "object" && value.is_object())
         || (type == "array" && value.is_array())
         || (type == "boolean" && value.is_boolean())
         || (type == "null" && value.is_null());
}

bool has(const strings& types, std::string_view type) {
  return std::ranges::find(types, type) != types.end()
         || (type == "integer" && has(types, "number"));
}

class type_check {
public:
  type_check(const ordered_json& root, const strings& types)
    : root_(root), types_(types) {
  }

  bool fits(const ordered_json& x) {
    if (!x.is_object())
      return x == false;
    if (!seen_.insert(&x).second) // it is looked at already
      return true;
    if (x.contains("$ref"))
      return fits_ref(x["$ref"]);
    for (auto name : {"anyOf", "oneOf", "allOf"})
      if (x.contains(name))
        return x[name].is_array() && std::ranges::all_of(x[name], [&](auto& y) {
                 return fits(y);
               });
    auto own = schema_types(x);
    if (x.contains("type"))
      return all_fit(own);
    if (x.contains("const"))
      return is_of(x["const"], types_);
    if (x.contains("enum"))
      return x["enum"].is_array()
             && std::ranges::all_of(x["enum"],
                                    [&](auto& y) { return is_of(y, types_); });
    return !own.empty() && all_fit(own);
  }

private:
  bool fits_ref(const ordered_json& ref) {
    auto to = ref.is_string() ? schema_at(root_, ref.get<std::string>())
                              : nullptr;
    return to && fits(*to);
  }

  bool all_fit(const strings& own) const {
    return std::ranges::all_of(own, [&](auto& y) { return has(types_, y); });
  }

  const ordered_json& root_;
  const strings& types_;
  std::set<const ordered_json*> seen_;
};

} // namespace

strings schema_types(const ordered_json& schema) {
  constexpr std::pair<const char*, const char*> meant[]
    = {{"properties", "object"}, {"additionalProperties", "object"},
       {"required", "object"},   {"items", "array"},
       {"prefixItems", "array"}, {"minItems", "array"},
       {"maxItems", "array"},    {"pattern", "string"},
       {"minLength", "string"},  {"maxLength", "string"},
       {"minimum", "number"},    {"maximum", "number"}};
  if (!schema.contains("type")) {
    for (auto [key, type] : meant)
      if (schema.contains(key))
        return {type};
    return {};
  }
  auto& type = schema["type"];
  strings out;
  for (auto& one : type.is_array() ? type : ordered_json::array({type}))
    if (one.is_string())
      out.push_back(one.get<std::string>());
  return out;
}

bool is_of(const ordered_json& value, const strings& types) {
  return std::ranges::any_of(types, [&](auto& x) { return is_one(value, x); });
}

const ordered_json* schema_at(const ordered_json& root, std::string_view ref) {
  const ordered_json* at = &root;
  for (size_t begin = 2; begin <= ref.size() && at;) {
    auto end = std::min(ref.find('/', begin), ref.size());
    auto name = unescaped(std::string{ref.substr(begin, end - begin)});
    auto is_there = at->is_object() && at->contains(name);
    at = is_there ? &(*at)[name] : nullptr;
    begin = end + 1;
  }
  return at;
}

bool keeps_to(const ordered_json& schema, const ordered_json& root,
              const strings& types) {
  return type_check{root, types}.fits(schema);
}

} // namespace troupe
