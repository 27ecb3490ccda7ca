#include "runtime/text/template_value.hpp"

namespace troupe {

template_value template_value::of(bool x) {
  template_value out;
  out.what = kind::boolean;
  out.number = x;
  return out;
}

template_value template_value::of(std::string x) {
  template_value out;
  out.what = kind::text;
  out.text = std::move(x);
  return out;
}

template_value template_value::of(std::map<std::string, template_value> x) {
  template_value out;
  out.what = kind::fields;
  out.fields
    = std::make_shared<std::map<std::string, template_value>>(std::move(x));
  return out;
}

bool template_value::holds() const {
  switch (what) {
    case kind::undefined:
    case kind::none:
      return false;
    case kind::boolean:
    case kind::number:
      return number != 0;
    case kind::text:
      return !text.empty();
    case kind::list:
      return !items.empty();
    case kind::fields:
      return !fields->empty();
  }
  return false;
}

bool template_value::equals(const template_value& other) const {
  return what == other.what && number == other.number && text == other.text
         && what != kind::list && what != kind::fields;
}

template_value template_value::field(const std::string& name) const {
  if (what != kind::fields)
    return {};
  auto it = fields->find(name);
  return it == fields->end() ? template_value{} : it->second;
}

} // namespace troupe
