#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Hears the parser's events, puts them together and keeps the first thing
/// that is wrong. That a key comes twice is not seen where members stay in
/// their order: the text has been read before.
template <class Json>
class json_builder : public nlohmann::json_sax<Json> {
public:
  using object_t = typename Json::object_t;
  using string_t = typename Json::string_t;

  explicit json_builder(const json_limits& limits) : limits_(limits) {
  }

  bool null() override {
    return add(nullptr);
  }

  bool boolean(bool x) override {
    return add(x);
  }

  bool number_integer(typename Json::number_integer_t x) override {
    return add(x);
  }

  bool number_unsigned(typename Json::number_unsigned_t x) override {
    return add(x);
  }

  bool number_float(typename Json::number_float_t x, const string_t&) override {
    return add(x);
  }

  bool string(string_t& x) override {
    return add(std::move(x));
  }

  bool binary(typename Json::binary_t&) override {
    return refuse("holds bytes"); // which no JSON text does
  }

  bool start_object(size_t) override {
    return open(Json::object());
  }

  bool key(string_t& name) override {
    auto& object = open_.back()->template get_ref<object_t&>();
    if (!add_member(object, name))
      return refuse("has the key \"" + name.substr(0, 128) + "\" twice");
    return object.size() <= limits_.max_keys
           || refuse("has more than " + std::to_string(limits_.max_keys)
                     + " keys in an object");
  }

  bool end_object() override {
    open_.pop_back();
    return true;
  }

  bool start_array(size_t) override {
    return open(Json::array());
  }

  bool end_array() override {
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("is no JSON from byte " + std::to_string(position) + " on");
  }

  Json take() {
    return std::move(root_);
  }

  const std::string& trouble() const {
    return trouble_;
  }

private:
  /// Returns false, and leaves `name`, if there is one of that name.
  bool add_member(json::object_t& to, std::string& name) {
    auto [at, is_new] = to.try_emplace(std::move(name));
    member_ = &at->second;
    return is_new;
  }

  bool add_member(ordered_json::object_t& to, std::string& name) {
    ordered_json::object_t::Container& all = to; // looks for no name
    member_ = &all.emplace_back(std::move(name), nullptr).second;
    return true;
  }

  /// Where the next value goes. Only the innermost list grows, so pointers to
  /// what encloses it stay good.
  Json& place() {
    if (open_.empty())
      return root_;
    if (open_.back()->is_array())
      return open_.back()
        ->template get_ref<typename Json::array_t&>()
        .emplace_back();
    return *member_;
  }

  bool count() {
    return ++num_values_ <= limits_.max_values
           || refuse("holds more than " + std::to_string(limits_.max_values)
                     + " values");
  }

  bool add(Json value) {
    if (!count())
      return false;
    place() = std::move(value);
    return true;
  }

  bool open(Json empty) {
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
  Json root_;
  std::vector<Json*> open_; ///< By depth.
  Json* member_ = nullptr;  ///< Of the innermost object: its key has come.
  size_t num_values_ = 0;
  std::string trouble_;
};

} // namespace

result<json> parse_json(std::string_view what, std::string_view text,
                        const json_limits& limits) {
  json_builder<json> builder{limits};
  if (json::sax_parse(text.begin(), text.end(), &builder))
    return result<json>{builder.take()};
  return failure{errc::invalid_input,
                 std::string{what} + " " + builder.trouble()};
}

ordered_json parse_in_order(std::string_view text) {
  json_limits none;
  none.max_depth = SIZE_MAX;
  json_builder<ordered_json> builder{none};
  CHECK(ordered_json::sax_parse(text.begin(), text.end(), &builder));
  return builder.take();
}

} // namespace troupe
