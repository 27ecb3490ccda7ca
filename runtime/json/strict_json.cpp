#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <unordered_set>
#include <vector>

namespace troupe {

namespace {

/// Hears the parser's events and keeps the first thing that is wrong.
class json_checker : public nlohmann::json_sax<nlohmann::json> {
public:
  explicit json_checker(size_t max_depth) : max_depth_(max_depth) {
  }

  bool null() override {
    return true;
  }

  bool boolean(bool) override {
    return true;
  }

  bool number_integer(number_integer_t) override {
    return true;
  }

  bool number_unsigned(number_unsigned_t) override {
    return true;
  }

  bool number_float(number_float_t, const string_t&) override {
    return true;
  }

  bool string(string_t&) override {
    return true;
  }

  bool binary(binary_t&) override {
    return true;
  }

  bool start_object(size_t) override {
    return enter();
  }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second)
      return true;
    return refuse("has the key \"" + name.substr(0, 128) + "\" twice");
  }

  bool end_object() override {
    keys_.pop_back();
    return true;
  }

  bool start_array(size_t) override {
    return enter();
  }

  bool end_array() override {
    keys_.pop_back();
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("is no JSON from byte " + std::to_string(position) + " on");
  }

  const std::string& trouble() const {
    return trouble_;
  }

private:
  bool enter() {
    keys_.emplace_back();
    return keys_.size() <= max_depth_ || refuse("is nested too deeply");
  }

  bool refuse(std::string trouble) {
    trouble_ = std::move(trouble);
    return false;
  }

  size_t max_depth_;
  std::string trouble_;
  std::vector<std::unordered_set<std::string>> keys_; ///< By depth.
};

} // namespace

result<void> check_json(std::string_view what, std::string_view text,
                        size_t max_depth) {
  json_checker checker{max_depth};
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &checker))
    return {};
  return failure{errc::invalid_input,
                 std::string{what} + " " + checker.trouble()};
}

} // namespace troupe
