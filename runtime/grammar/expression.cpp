#include "runtime/grammar/expression.hpp"

#include <map>

namespace troupe {

namespace {

expression_ptr make(expression x) {
  return std::make_shared<const expression>(std::move(x));
}

/// How much of `text` + `byte`, whose `size` first bytes have come, is the
/// beginning of `text` at its end. [Knuth, Morris, Pratt]
size_t next_overlap(std::string_view text, size_t size, char byte) {
  auto seen = std::string{text.substr(0, size)} + byte;
  for (auto n = std::min(seen.size(), text.size());; --n)
    if (seen.ends_with(text.substr(0, n)))
      return n;
}

} // namespace

uint32_t grammar_rules::promise() {
  return add(nullptr);
}

uint32_t grammar_rules::add(expression_ptr x) {
  rules.push_back(std::move(x));
  return static_cast<uint32_t>(rules.size() - 1);
}

expression_ptr one_of(const byte_set& bytes) {
  return make({.what = expression::kind::bytes, .bytes = bytes});
}

expression_ptr one_of(std::string_view bytes) {
  byte_set set;
  for (auto c : bytes)
    set.set(static_cast<unsigned char>(c));
  return one_of(set);
}

expression_ptr literal(std::string_view text) {
  std::vector<expression_ptr> parts;
  for (auto& c : text)
    parts.push_back(one_of(std::string_view{&c, 1}));
  return in_sequence(std::move(parts));
}

expression_ptr in_sequence(std::vector<expression_ptr> parts) {
  return make({.what = expression::kind::sequence, .parts = std::move(parts)});
}

expression_ptr choice_of(std::vector<expression_ptr> parts) {
  return make({.what = expression::kind::choice, .parts = std::move(parts)});
}

expression_ptr repeated(expression_ptr x, uint32_t least, uint32_t most) {
  return make({.what = expression::kind::repeat,
               .parts = {std::move(x)},
               .least = least,
               .most = most});
}

expression_ptr optional_of(expression_ptr x) {
  return repeated(std::move(x), 0, 1);
}

expression_ptr call_of(uint32_t rule) {
  return make({.what = expression::kind::rule, .rule = rule});
}

expression_ptr mark_or_text(std::string_view mark) {
  return choice_of(
    {make({.what = expression::kind::mark, .mark = std::string{mark}}),
     literal(mark)});
}

uint32_t add_text_until(grammar_rules& to, std::string_view mark,
                        const expression_ptr& behind, bool may_end) {
  std::vector<uint32_t> states; // by how much of the mark has come
  for (size_t i = 0; i < mark.size(); ++i)
    states.push_back(to.promise());
  auto token
    = make({.what = expression::kind::mark, .mark = std::string{mark}});
  for (size_t i = 0; i < mark.size(); ++i) {
    std::map<size_t, byte_set> next;
    for (unsigned byte = 0; byte < 256; ++byte)
      next[next_overlap(mark, i, static_cast<char>(byte))].set(byte);
    std::vector<expression_ptr> ways{in_sequence({token, behind})};
    for (auto& [size, bytes] : next)
      ways.push_back(in_sequence(
        {one_of(bytes), size == mark.size() ? behind : call_of(states[size])}));
    if (may_end)
      ways.push_back(in_sequence({}));
    to.rules[states[i]] = choice_of(std::move(ways));
  }
  return states.front();
}

} // namespace troupe
