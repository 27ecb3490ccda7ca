#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe {

namespace {

using nlohmann::json;

/// Hears the parser's events, puts them together and keeps the first thing
/// that is wrong.
class json_builder : public nlohmann::json_sax<json> {
public:
  explicit json_builder(const json_limits& limits) : limits_(limits) {
  }

  bool null() override {
    return add(nullptr);
  }

  bool boolean(bool x) override {
    return add(x);
  }

  bool number_integer(number_integer_t x) override {
    return add(x);
  }

  bool number_unsigned(number_unsigned_t x) override {
    return add(x);
  }

  bool number_float(number_float_t x, const string_t&) override {
    return add(x);
  }

  bool string(string_t& x) override {
    return add(std::move(x));
  }

  bool binary(binary_t&) override {
    return refuse("holds bytes"); // which no JSON text does
  }

  bool start_object(size_t) override {
    return open(json::object());
  }

  bool key(string_t& name) override {
    auto& object = open_.back()->get_ref<json::object_t&>();
    auto [at, is_new] = object.try_emplace(std::move(name));
    if (!is_new)
      return refuse("has the key \"" + name.substr(0, 128) + "\" twice");
    if (object.size() > limits_.max_keys)
      return refuse("has more than " + std::to_string(limits_.max_keys)
                    + " keys in an object");
    member_ = &at->second;
    return true;
  }

  bool end_object() override {
    open_.pop_back();
    return true;
  }

  bool start_array(size_t) override {
    return open(json::array());
  }

  bool end_array() override {
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("is no JSON from byte " + std::to_string(position) + " on");
  }

  json take() {
    return std::move(root_);
  }

  const std::string& trouble() const {
    return trouble_;
  }

private:
  /// Where the next value goes. Only the innermost list grows, so pointers to
  /// what encloses it stay good.
  json& place() {
    if (open_.empty())
      return root_;
    if (open_.back()->is_array())
      return open_.back()->get_ref<json::array_t&>().emplace_back();
    return *member_;
  }

  bool count() {
    return ++num_values_ <= limits_.max_values
           || refuse("holds more than " + std::to_string(limits_.max_values)
                     + " values");
  }

  bool add(json value) {
    if (!count())
      return false;
    place() = std::move(value);
    return true;
  }

  bool open(json empty) {
    if (!count())
      return false;
    if (open_.size() == limits_.max_depth)
      return refuse("is nested too deeply");
    auto& at = place();
    at = std::move(empty);
    open_.push_back(&at);
    return true;
  }

  bool refuse(std::string trouble) {
    trouble_ = std::move(trouble);
    return false;
  }

  const json_limits limits_;
  json root_;
  std::vector<json*> open_; ///< By depth.
  json* member_ = nullptr;  ///< Of the innermost object: its key has come.
  size_t num_values_ = 0;
  std::string trouble_;
};

} // namespace

result<json> parse_json(std::string_view what, std::string_view text,
                        const json_limits& limits) {
  json_builder builder{limits};
  if (json::sax_parse(text.begin(), text.end(), &builder))
    return result<json>{builder.take()};
  return failure{errc::invalid_input,
                 std::string{what} + " " + builder.trouble()};
}

} // namespace troupe
