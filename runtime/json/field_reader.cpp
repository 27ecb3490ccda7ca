#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

namespace troupe {

using nlohmann::json;

struct field_reader::impl {
  std::string what;
  std::string path; ///< Of this object within its text; empty: all of it.
  std::shared_ptr<const json> fields; ///< Keeps all of the text's values.
  std::string sentence;
  std::optional<field_trouble> trouble;
  mutable std::set<std::string, std::less<>> asked = {}; ///< Names so far.
};

namespace {

std::string text_of(double x) {
  std::ostringstream out;
  out << x;
  return out.str();
}

std::string join(const std::string& path, std::string_view name) {
  return (path.empty() ? "" : path + ".") + std::string{name};
}

} // namespace

field_reader::field_reader(std::unique_ptr<impl> impl)
  : impl_(std::move(impl)) {
}

field_reader::~field_reader() = default;
field_reader::field_reader(field_reader&&) noexcept = default;

result<field_reader> field_reader::parse(std::string what,
                                         std::string_view text,
                                         const json_limits& limits) {
  auto fields = parse_json(what, text, limits);
  if (!fields)
    return fields.why();
  if (!fields->is_object())
    return failure{errc::invalid_input, what + " is no JSON object"};
  auto all = std::make_shared<const json>(std::move(*fields));
  return field_reader{std::make_unique<impl>(
    impl{std::move(what), "", std::move(all), "", std::nullopt})};
}

const json* field_reader::find(std::string_view name) const {
  impl_->asked.emplace(name);
  auto at = impl_->fields->find(name);
  return at == impl_->fields->end() || at->is_null() ? nullptr : &*at;
}

bool field_reader::has(std::string_view name) const {
  return find(name) != nullptr;
}

std::optional<uint64_t> field_reader::whole(std::string_view name,
                                            uint64_t least, uint64_t most) {
  auto x = find(name);
  if (!x)
    return std::nullopt;
  auto value = x->is_number_unsigned() ? x->get<uint64_t>() : 0;
  if (x->is_number_unsigned() && value >= least && value <= most)
    return value;
  refuse(name,
         "must be an integer from " + std::to_string(least) + " to "
           + std::to_string(most),
         x->is_number_integer() ? field_fault::value : field_fault::type);
  return std::nullopt;
}

std::optional<int64_t> field_reader::signed_whole(std::string_view name,
                                                  int64_t least, int64_t most) {
  auto x = find(name);
  if (!x)
    return std::nullopt;
  // What is too large for the sign is no smaller than the most there is.
  auto is_large = x->is_number_unsigned() && x->get<uint64_t>() > INT64_MAX;
  if (x->is_number_integer() && !is_large)
    if (auto value = x->get<int64_t>(); value >= least && value <= most)
      return value;
  refuse(name,
         "must be an integer from " + std::to_string(least) + " to "
           + std::to_string(most),
         x->is_number_integer() ? field_fault::value : field_fault::type);
  return std::nullopt;
}

bool field_reader::has_object(std::string_view name) const {
  auto x = find(name);
  return x && x->is_object();
}

uint32_t field_reader::integer(std::string_view name, uint32_t least,
                               uint32_t most) {
  if (auto x = whole(name, least, most))
    return static_cast<uint32_t>(*x);
  refuse(name,
         "must be an integer from " + std::to_string(least) + " to "
           + std::to_string(most),
         field_fault::missing); // unless `whole` has found another fault
  return least;
}

uint32_t field_reader::integer_or(std::string_view name, uint32_t least,
                                  uint32_t most, uint32_t otherwise) {
  return has(name) ? integer(name, least, most) : otherwise;
}

double field_reader::number(std::string_view name, double least, double most) {
  auto x = find(name);
  auto value = x && x->is_number() ? x->get<double>() : std::nan("");
  if (value >= least && value <= most)
    return value;
  auto fault = !x               ? field_fault::missing
               : x->is_number() ? field_fault::value
                                : field_fault::type;
  refuse(name,
         "must be a number from " + text_of(least) + " to " + text_of(most),
         fault);
  return least;
}

double field_reader::number_or(std::string_view name, double least, double most,
                               double otherwise) {
  return has(name) ? number(name, least, most) : otherwise;
}

bool field_reader::boolean_or(std::string_view name, bool otherwise) {
  auto x = find(name);
  if (!x)
    return otherwise;
  if (x->is_boolean())
    return x->get<bool>();
  refuse(name, "must be true or false", field_fault::type);
  return otherwise;
}

std::string field_reader::text_or(std::string_view name,
                                  std::string_view otherwise) {
  auto x = find(name);
  return x ? text_at(*x, name) : std::string{otherwise};
}

std::string field_reader::text_at(const json& x, std::string_view path) {
  if (!x.is_string()) {
    refuse(path, "must be a string", field_fault::type);
    return {};
  }
  auto text = x.get<std::string>();
  if (text.find('\0') != std::string::npos)
    refuse(path, "must not hold the character U+0000");
  return text;
}

std::vector<int32_t> field_reader::integers(std::string_view name,
                                            int32_t least, int32_t most,
                                            size_t max_count) {
  auto x = find(name);
  if (!x)
    return {};
  auto list = x->is_array() ? *x : json::array({*x});
  std::vector<int32_t> out;
  for (auto& item : list) {
    auto ok = item.is_number_integer() && out.size() < max_count;
    // Beyond int64 the cast would wrap, but such a value is unsigned.
    if (ok && item.is_number_unsigned())
      ok = item.get<uint64_t>() <= INT32_MAX;
    auto value = ok ? item.get<int64_t>() : 0;
    if (!ok || value < least || value > most) {
      refuse(name, "must be a token id, or a list of at most "
                     + std::to_string(max_count) + " of them");
      return {};
    }
    out.push_back(static_cast<int32_t>(value));
  }
  return out;
}

std::string field_reader::only_text(std::string_view name) {
  auto x = find(name);
  if (x && x->is_array() && x->size() == 1 && x->front().is_string())
    return x->front().get<std::string>();
  refuse(name, "must be a list of one name");
  return {};
}

std::optional<field_reader> field_reader::object(std::string_view name) {
  auto x = find(name);
  if (!x)
    return std::nullopt;
  if (!x->is_object()) {
    refuse(name, "must be an object", field_fault::type);
    return std::nullopt;
  }
  return within(*x, name);
}

std::string field_reader::text(std::string_view name) {
  auto x = find(name);
  if (x && x->is_string())
    return text_at(*x, name);
  refuse(name, "is missing or no string");
  return {};
}

std::vector<std::string> field_reader::texts(std::string_view name,
                                             size_t max_count) {
  auto x = find(name);
  if (!x)
    return {};
  auto ok = x->is_array() && x->size() <= max_count;
  std::vector<std::string> out;
  for (size_t i = 0; ok && i < x->size(); ++i) {
    ok = (*x)[i].is_string();
    out.push_back(ok ? (*x)[i].get<std::string>() : "");
  }
  if (!ok)
    refuse(name, "must be a list of at most " + std::to_string(max_count)
                   + " strings");
  return ok ? out : std::vector<std::string>{};
}

std::vector<field_reader> field_reader::objects(std::string_view name,
                                                size_t max_count) {
  auto x = find(name);
  if (!x)
    return {};
  auto is_object = [](auto& item) { return item.is_object(); };
  if (!x->is_array() || x->size() > max_count
      || !std::all_of(x->begin(), x->end(), is_object)) {
    refuse(name, "must be a list of at most " + std::to_string(max_count)
                   + " objects");
    return {};
  }
  std::vector<field_reader> out;
  for (auto& item : *x)
    out.push_back(within(item, name));
  return out;
}

std::vector<std::string> field_reader::names() const {
  std::vector<std::string> out;
  for (auto& [name, value] : impl_->fields->items())
    out.push_back(name);
  return out;
}

std::vector<field_reader::named_number>
field_reader::numbers(std::string_view name) {
  std::vector<named_number> out;
  auto x = find(name);
  if (!x || !x->is_object()) {
    refuse(name, "is missing or no object");
    return out;
  }
  for (auto& [key, value] : x->items()) {
    auto ok = value.is_number_unsigned() && value.get<uint64_t>() <= UINT32_MAX;
    out.push_back(
      {key, ok ? std::optional{value.get<uint32_t>()} : std::nullopt});
  }
  return out;
}

std::vector<std::vector<std::string>>
field_reader::word_lists(std::string_view name) {
  std::vector<std::vector<std::string>> out;
  auto x = find(name);
  if (!x || !x->is_array()) {
    refuse(name, "is missing or no list");
    return out;
  }
  for (auto& item : *x) {
    auto& words = out.emplace_back();
    if (item.is_string())
      words.push_back(item.get<std::string>());
    if (!item.is_array())
      continue;
    for (auto& word : item)
      if (word.is_string())
        words.push_back(word.get<std::string>());
    if (words.size() != item.size())
      words.clear();
  }
  return out;
}

void field_reader::must_be(std::string_view name, std::string_view value) {
  auto x = find(name);
  if (x && *x != json::parse(value))
    refuse(name, "must be " + std::string{value});
}

void field_reader::refuse_unknown(std::span<const harmless_key> harmless) {
  for (auto& [name, value] : impl_->fields->items()) {
    auto is_this = [&name = name](auto& x) { return x.name == name; };
    if (!value.is_null() && !impl_->asked.contains(name)
        && std::none_of(harmless.begin(), harmless.end(), is_this))
      refuse(name.substr(0, 128), "is not known, and it might change what is "
                                  "computed");
  }
}

field_reader field_reader::within(const json& x, std::string_view path) const {
  CHECK(x.is_object());
  return field_reader{std::make_unique<impl>(
    impl{impl_->what + ": " + std::string{path}, join(impl_->path, path),
         std::shared_ptr<const json>{impl_->fields, &x}, "", std::nullopt})};
}

void field_reader::refuse(std::string_view name, std::string why,
                          field_fault fault) {
  if (impl_->trouble)
    return;
  impl_->sentence = impl_->what + ": " + std::string{name} + " " + why;
  impl_->trouble = {join(impl_->path, name), std::move(why), fault};
}

void field_reader::absorb(const field_reader& inner) {
  if (impl_->trouble)
    return;
  impl_->sentence = inner.impl_->sentence;
  impl_->trouble = inner.impl_->trouble;
}

const std::string& field_reader::trouble() const {
  return impl_->sentence;
}

const std::optional<field_trouble>& field_reader::first_trouble() const {
  return impl_->trouble;
}

} // namespace troupe
