#include "runtime/toml/table_reader.hpp"

#include "runtime/duration.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace troupe {

result<toml::table> parse_toml(std::string_view text,
                               std::string_view source_name) {
  try { // toml++ has no other way to say it
    return toml::parse(text, source_name);
  } catch (const toml::parse_error& e) {
    return failure{errc::invalid_input,
                   std::string{source_name} + ":"
                     + std::to_string(e.source().begin.line) + ": "
                     + std::string{e.description()}};
  }
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>{text};
  return out.str();
}

table_reader::table_reader(const toml::table& table, std::string source,
                           std::string name)
  : table_(table), source_(std::move(source)), name_(std::move(name)) {
}

void table_reader::allow_only(std::span<const std::string_view> keys,
                              std::string_view what) {
  for (auto&& [key, value] : table_)
    if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
      complain(key.str(), "is not a key of " + std::string{what});
}

bool table_reader::has(std::string_view key) const {
  return find(key) != nullptr;
}

void table_reader::read(std::string_view key, std::string& out) {
  read_as<std::string>(key, out, "must be a string");
  if (out.find('\0') != out.npos)
    complain(key, "must not hold a NUL");
}

void table_reader::read(std::string_view key, bool& out) {
  read_as<bool>(key, out, "must be true or false");
}

void table_reader::read(std::string_view key, uint32_t& out) {
  auto node = find(key);
  if (!node)
    return;
  if (auto x = number(*node))
    out = *x;
  else
    complain(key, "must be a whole number from 0 to 4294967295");
}

void table_reader::read(std::string_view key, uint64_t& out) {
  auto node = find(key);
  if (!node)
    return;
  auto x = node->value_exact<int64_t>();
  if (x && *x >= 0)
    out = static_cast<uint64_t>(*x);
  else
    complain(key, "must be a whole number from 0 to 2^63 - 1");
}

void table_reader::read(std::string_view key, double& out) {
  auto node = find(key);
  if (!node)
    return;
  auto x = node->is_number() ? node->value<double>() : std::nullopt;
  if (x && std::isfinite(*x))
    out = *x;
  else
    complain(key, "must be a finite number");
}

void table_reader::read(std::string_view key, std::chrono::nanoseconds& out) {
  if (!has(key))
    return;
  std::string text;
  read(key, text);
  if (auto x = parse_duration(text))
    out = *x;
  else
    complain(key, duration_form);
}

const toml::node* table_reader::find(std::string_view key) const {
  return table_.get(key);
}

const toml::table* table_reader::child(std::string_view key) {
  auto node = find(key);
  if (node && !node->is_table())
    complain(key, "must be a table");
  return node ? node->as_table() : nullptr;
}

std::optional<uint32_t> table_reader::number(const toml::node& node) {
  auto x = node.value_exact<int64_t>();
  if (!x || *x < 0 || *x > UINT32_MAX)
    return std::nullopt;
  return static_cast<uint32_t>(*x);
}

void table_reader::complain(std::string_view key, std::string_view what) {
  if (!complaint_.empty())
    return;
  auto node = find(key);
  auto line = (node ? node->source() : table_.source()).begin.line;
  complaint_ = source_;
  if (line > 0)
    complaint_ += ":" + std::to_string(line);
  if (!name_.empty())
    complaint_ += ": " + name_;
  complaint_.append(": ").append(key).append(" ").append(what);
}

template <class T>
void table_reader::read_as(std::string_view key, T& out,
                           std::string_view form) {
  auto node = find(key);
  if (!node)
    return;
  if (auto x = node->template value_exact<T>())
    out = *x;
  else
    complain(key, form);
}

} // namespace troupe
