#include "runtime/text/template_switch.hpp"

#include <optional>

namespace troupe {

namespace {

using tokens = std::span<const template_token>;

/// Whether `x` has the tokens of `pattern` at `i`; "?" is a switch.
bool has(tokens x, size_t i, std::initializer_list<std::string_view> pattern) {
  if (i > x.size() || x.size() - i < pattern.size())
    return false;
  for (auto part : pattern) {
    auto& value = x[i++].value;
    bool fits = part == "?" ? value == "thinking" || value == "enable_thinking"
                            : value == part;
    if (!fits)
      return false;
  }
  return true;
}

std::optional<bool> constant_at(tokens x, size_t i) {
  if (i >= x.size())
    return std::nullopt;
  if (x[i].is_name("true") || x[i].is_name("True"))
    return true;
  if (x[i].is_name("false") || x[i].is_name("False"))
    return false;
  return std::nullopt;
}

/// What a switch is worth when nobody sets it, if the tokens at `i` say so.
std::optional<bool> default_at(tokens x, size_t i) {
  if (has(x, i, {"set", "?", "="}))
    return constant_at(x, i + 3);
  if (has(x, i, {"?", "is", "defined", "else"}))
    return constant_at(x, i + 4);
  if (has(x, i, {"?", "is", "not", "none", "else"}))
    return constant_at(x, i + 5);
  if (has(x, i, {"?", "|", "default", "("}))
    return constant_at(x, i + 4);
  if (has(x, i, {"?", "is", "not", "defined", "or", "?"})
      || has(x, i, {"not", "?", "is", "defined", "or", "?"})
      || has(x, i, {"?", "is", "defined", "and", "not", "?"}))
    return true;
  return std::nullopt;
}

/// How the split at `i` cuts thoughts off; none: in a way that is not known.
thought_cut cut_at(tokens x, size_t i) {
  bool once = has(x, i, {"split", "(", "</think>", ",", "1", ")"});
  if (!once && !has(x, i, {"split", "(", "</think>", ")"}))
    return thought_cut::none;
  i += once ? 6 : 4;
  bool is_last = has(x, i, {"[", "-", "1", "]"}) || has(x, i, {"|", "last"});
  if (once)
    return is_last || has(x, i, {"[", "1", "]"}) ? thought_cut::first_end
                                                 : thought_cut::none;
  return is_last ? thought_cut::last_end : thought_cut::none;
}

} // namespace

result<void> read_switches(tokens tag, template_reading& to) {
  for (size_t i = 0; i < tag.size(); ++i) {
    if (auto value = default_at(tag, i))
      to.thinking_defaults.insert(*value);
    bool compares = has(tag, i, {"?", "=="}) || has(tag, i, {"?", "!="});
    if (compares)
      return failure{errc::invalid_input,
                     "it compares \"" + tag[i].value + "\" with a value"};
    if (!tag[i].is_name("split"))
      continue;
    auto cut = cut_at(tag, i);
    if (cut == thought_cut::none
        || (to.cut != thought_cut::none && to.cut != cut))
      return failure{errc::invalid_input,
                     "it splits a text in a way that is not known here"};
    to.cut = cut;
  }
  return {};
}

} // namespace troupe
