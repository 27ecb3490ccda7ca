#include "runtime/json/field_reader.hpp"

#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <sstream>

namespace troupe {

using nlohmann::json;

struct field_reader::impl {
  std::string what;
  json fields;
  std::string trouble;

  const json* find(std::string_view name) const {
    auto at = fields.find(std::string{name});
    return at == fields.end() || at->is_null() ? nullptr : &*at;
  }
};

namespace {

std::string text_of(double x) {
  std::ostringstream out;
  out << x;
  return out.str();
}

} // namespace

field_reader::field_reader(std::unique_ptr<impl> impl)
  : impl_(std::move(impl)) {
}

field_reader::~field_reader() = default;
field_reader::field_reader(field_reader&&) noexcept = default;

result<field_reader> field_reader::parse(std::string what,
                                         std::string_view text) {
  if (auto ok = check_json(what, text); !ok)
    return ok.why();
  auto fields = json::parse(text.begin(), text.end(), nullptr, false);
  if (!fields.is_object())
    return failure{errc::invalid_input, what + " is no JSON object"};
  return field_reader{
    std::make_unique<impl>(impl{std::move(what), std::move(fields), {}})};
}

bool field_reader::has(std::string_view name) const {
  return impl_->find(name) != nullptr;
}

uint32_t field_reader::integer(std::string_view name, uint32_t least,
                               uint32_t most) {
  auto x = impl_->find(name);
  auto value = x && x->is_number_unsigned() ? x->get<uint64_t>() : 0;
  if (x && x->is_number_unsigned() && value >= least && value <= most)
    return static_cast<uint32_t>(value);
  refuse(name, "must be an integer from " + std::to_string(least) + " to "
                 + std::to_string(most));
  return least;
}

uint32_t field_reader::integer_or(std::string_view name, uint32_t least,
                                  uint32_t most, uint32_t otherwise) {
  return has(name) ? integer(name, least, most) : otherwise;
}

double field_reader::number(std::string_view name, double least, double most) {
  auto x = impl_->find(name);
  auto value = x && x->is_number() ? x->get<double>() : std::nan("");
  if (value >= least && value <= most)
    return value;
  refuse(name,
         "must be a number from " + text_of(least) + " to " + text_of(most));
  return least;
}

double field_reader::number_or(std::string_view name, double least, double most,
                               double otherwise) {
  return has(name) ? number(name, least, most) : otherwise;
}

bool field_reader::boolean_or(std::string_view name, bool otherwise) {
  auto x = impl_->find(name);
  if (!x)
    return otherwise;
  if (x->is_boolean())
    return x->get<bool>();
  refuse(name, "must be true or false");
  return otherwise;
}

std::string field_reader::text_or(std::string_view name,
                                  std::string_view otherwise) {
  auto x = impl_->find(name);
  if (!x)
    return std::string{otherwise};
  if (x->is_string())
    return x->get<std::string>();
  refuse(name, "must be a string");
  return std::string{otherwise};
}

std::vector<int32_t> field_reader::integers(std::string_view name,
                                            int32_t least, int32_t most,
                                            size_t max_count) {
  auto x = impl_->find(name);
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
  auto x = impl_->find(name);
  if (x && x->is_array() && x->size() == 1 && x->front().is_string())
    return x->front().get<std::string>();
  refuse(name, "must be a list of one name");
  return {};
}

std::optional<field_reader> field_reader::object(std::string_view name) {
  auto x = impl_->find(name);
  if (!x)
    return std::nullopt;
  if (!x->is_object()) {
    refuse(name, "must be an object");
    return std::nullopt;
  }
  return field_reader{std::make_unique<impl>(
    impl{impl_->what + ": " + std::string{name}, *x, {}})};
}

void field_reader::refuse(std::string_view name, const std::string& why) {
  if (impl_->trouble.empty())
    impl_->trouble = impl_->what + ": " + std::string{name} + " " + why;
}

void field_reader::absorb(const field_reader& inner) {
  if (impl_->trouble.empty())
    impl_->trouble = inner.trouble();
}

const std::string& field_reader::trouble() const {
  return impl_->trouble;
}

} // namespace troupe
