#include "runtime/grammar/gbnf_reader.hpp"

#include "runtime/grammar/code_points.hpp"
#include "runtime/text/utf8.hpp"

#include <algorithm>
#include <cctype>
#include <map>

namespace troupe {

namespace {

constexpr uint32_t max_depth = 64;
constexpr uint32_t max_count = 100'000;

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

class gbnf_reader {
public:
  gbnf_reader(grammar_rules& to, std::string_view source)
    : rules_(to), source_(source), rest_(source) {
  }

  result<uint32_t> read() {
    for (skip_space(); !rest_.empty(); skip_space())
      read_rule();
    for (auto& [name, rule] : known_)
      if (!rules_.rules[rule])
        refuse("there is no rule '" + name + "'");
    if (!known_.contains("root"))
      refuse("there is no rule 'root'");
    if (!trouble_.empty())
      return failure{errc::invalid_input, trouble_};
    return known_["root"];
  }

private:
  void refuse(const std::string& why) {
    if (!trouble_.empty())
      return;
    auto read = source_.substr(0, source_.size() - rest_.size());
    trouble_ = "line " + std::to_string(std::ranges::count(read, '\n') + 1)
               + ": " + why;
    rest_ = {};
  }

  void skip_space() {
    while (!rest_.empty())
      if (std::isspace(static_cast<unsigned char>(rest_[0])))
        rest_.remove_prefix(1);
      else if (rest_[0] == '#')
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      else
        return;
  }

  bool skip(std::string_view what) {
    if (!rest_.starts_with(what))
      return false;
    rest_.remove_prefix(what.size());
    return true;
  }

  std::string name() {
    auto end = std::ranges::find_if_not(rest_, is_name) - rest_.begin();
    std::string out{rest_.substr(0, size_t(end))};
    rest_.remove_prefix(out.size());
    return out;
  }

  uint32_t rule_of(const std::string& name) {
    auto [i, is_new] = known_.emplace(name.substr(0, 256), 0);
    if (is_new)
      i->second = rules_.promise();
    return i->second;
  }

  void read_rule() {
    auto its_name = name();
    skip_space();
    if (its_name.empty() || !skip("::="))
      return refuse("a rule begins with its name and '::='");
    auto rule = rule_of(its_name);
    if (rules_.rules[rule])
      refuse("there are two rules '" + its_name + "'");
    auto what = alternatives(0);
    if (trouble_.empty() && !rest_.empty() && rest_[0] == ')')
      refuse("there is a ')' too many");
    rules_.rules[rule] = std::move(what);
  }

  /// Whether a name that comes next is that of the next rule.
  bool at_next_rule() {
    auto before = rest_;
    auto is_rule = !name().empty();
    skip_space();
    is_rule = is_rule && rest_.starts_with("::=");
    rest_ = before;
    return is_rule;
  }

  expression_ptr alternatives(uint32_t depth) {
    std::vector<expression_ptr> ways;
    do
      ways.push_back(sequence(depth));
    while (skip("|"));
    return choice_of(std::move(ways));
  }

  expression_ptr sequence(uint32_t depth) {
    std::vector<expression_ptr> parts;
    for (skip_space(); !rest_.empty() && rest_[0] != '|' && rest_[0] != ')'
                       && !at_next_rule();
         skip_space())
      parts.push_back(counted(element(depth)));
    return in_sequence(std::move(parts));
  }

  expression_ptr element(uint32_t depth) {
    if (skip("\""))
      return quoted();
    if (skip("["))
      return spell_(bracketed());
    if (skip("."))
      return spell_(code_set{}.others());
    if (skip("(")) {
      if (depth >= max_depth)
        refuse("groups are nested too deep");
      auto out = alternatives(depth + 1);
      if (!skip(")"))
        refuse("a ')' is missing");
      return out;
    }
    auto what = name();
    if (what.empty())
      refuse(std::string{"'"} + rest_[0] + "' makes no sense here");
    return call_of(rule_of(what));
  }

  expression_ptr counted(expression_ptr x) {
    uint32_t least = 0;
    uint32_t most = unlimited;
    if (skip("?")) {
      most = 1;
    } else if (skip("+")) {
      least = 1;
    } else if (skip("{")) {
      least = most = number();
      if (skip(","))
        most = rest_.starts_with("}") ? unlimited : number();
      if (!skip("}") || least > most)
        refuse("a repetition makes no sense");
    } else if (!skip("*")) {
      return x;
    }
    return repeated(std::move(x), least, most);
  }

  uint32_t number() {
    uint32_t out = 0;
    if (rest_.empty() || !std::isdigit(static_cast<unsigned char>(rest_[0])))
      refuse("a number is missing");
    for (; !rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_[0]));
         rest_.remove_prefix(1))
      out = std::min(out * 10 + uint32_t(rest_[0] - '0'), max_count + 1);
    if (out > max_count)
      refuse("a repetition has at most 100000 rounds");
    return out;
  }

  expression_ptr quoted() {
    std::vector<expression_ptr> parts;
    while (!skip("\"")) {
      if (rest_.empty()) {
        refuse("a '\"' is missing");
        break;
      }
      auto x = character();
      parts.push_back(spell_({{x, x}}));
    }
    return in_sequence(std::move(parts));
  }

  code_set bracketed() {
    bool negated = skip("^");
    code_set out;
    while (!skip("]")) {
      if (rest_.empty()) {
        refuse("a ']' is missing");
        break;
      }
      auto first = character();
      auto last = first;
      if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        skip("-");
        last = character();
      }
      if (first > last)
        refuse("a range of a class makes no sense");
      else
        out.add({first, last});
    }
    return negated ? out.others() : out;
  }

  uint32_t character() {
    if (!skip("\\"))
      return take_code_point(rest_).value_or(0);
    auto x = take_code_point(rest_).value_or(0);
    switch (x) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      case 'U':
        return hexadecimal(8);
      default:
        if (x < 0x80 && std::isalnum(static_cast<int>(x)))
          refuse("there is no such escape");
        return x;
    }
  }

  uint32_t hexadecimal(uint32_t count) {
    uint64_t x = 0;
    for (; count > 0 && !rest_.empty(); --count, rest_.remove_prefix(1)) {
      auto c = static_cast<unsigned char>(rest_[0]);
      if (!std::isxdigit(c))
        break;
      x = x * 16 + uint64_t(std::isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (count > 0 || x > last_code_point)
      refuse("an escape makes no sense");
    return static_cast<uint32_t>(std::min<uint64_t>(x, last_code_point));
  }

  grammar_rules& rules_;
  std::string_view source_;
  std::string_view rest_;
  speller spell_{in_utf8};
  std::map<std::string, uint32_t> known_;
  std::string trouble_;
};

} // namespace

result<uint32_t> add_gbnf(grammar_rules& to, std::string_view source) {
  if (!is_utf8(source))
    return failure{errc::invalid_input, "it is no UTF-8"};
  return gbnf_reader{to, source}.read();
}

} // namespace troupe
