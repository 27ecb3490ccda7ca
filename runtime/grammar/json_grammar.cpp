#include "runtime/grammar/json_grammar.hpp"

#include "runtime/grammar/any_json.hpp"
#include "runtime/grammar/json_pieces.hpp"
#include "runtime/grammar/program.hpp"
#include "runtime/grammar/regex_reader.hpp"
#include "runtime/grammar/schema_types.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

namespace troupe {

namespace {

using nlohmann::ordered_json;
using strings = std::vector<std::string>;

constexpr size_t max_prefix_items = 64;
constexpr size_t max_key = 256;

/// They say nothing of what is valid.
constexpr std::string_view notes[]
  = {"$schema",         "$id",           "$comment",         "$defs",
     "definitions",     "title",         "description",      "default",
     "examples",        "deprecated",    "readOnly",         "writeOnly",
     "contentEncoding", "discriminator", "contentMediaType", "$anchor"};

class schema_reader {
public:
  schema_reader(grammar_rules& to, const ordered_json& schema)
    : rules_(to), any_(to), root_(schema) {
  }

  result<uint32_t> read() {
    auto out = rule_at("#", root_);
    while (!open_.empty() && trouble_.empty()) {
      auto [rule, path, schema] = open_.front();
      open_.pop_front();
      rules_.rules[rule] = read(*schema, path);
    }
    if (!trouble_.empty())
      return failure{errc::invalid_input, trouble_};
    return out;
  }

private:
  struct open_rule {
    uint32_t rule;
    std::string path;
    const ordered_json* schema;
  };

  expression_ptr refuse(const std::string& path, const std::string& why) {
    if (trouble_.empty())
      trouble_ = "at " + path.substr(0, 256) + ": " + why;
    return in_sequence({});
  }

  /// The rule of a schema that is referred to, to be read later.
  uint32_t rule_at(const std::string& path, const ordered_json& schema) {
    auto [i, is_new] = known_.emplace(path, 0);
    if (is_new) {
      i->second = rules_.promise();
      open_.push_back({i->second, path, &schema});
    }
    return i->second;
  }

  // -- schemas ----------------------------------------------------------------

  expression_ptr read(const ordered_json& x, const std::string& path) {
    if (x.is_boolean())
      return x.get<bool>() ? call_of(any_.value) : choice_of({});
    if (!x.is_object())
      return refuse(path, "a schema is an object, true or false");
    if (rules_.rules.size() > max_grammar_rules || !trouble_.empty())
      return refuse(path, "it is too large");
    for (auto name : {"$ref", "anyOf", "oneOf", "allOf"})
      if (x.contains(name))
        return read_applied(x, name, path);
    if (x.contains("const"))
      return read_values(x, ordered_json::array({x["const"]}), "const", path);
    if (x.contains("enum"))
      return read_values(x, x["enum"], "enum", path);
    strings types = types_of(x, path);
    if (types.empty()) {
      check_keys(x, {"type"}, path);
      return call_of(any_.value);
    }
    std::vector<expression_ptr> ways;
    for (auto& type : types)
      ways.push_back(read_type(x, type, path));
    check_keys(x, keys_, path);
    keys_.clear();
    return ways.size() == 1 ? ways.front() : choice_of(std::move(ways));
  }

  expression_ptr read_applied(const ordered_json& x, const std::string& name,
                              const std::string& path) {
    check_keys(x, {name, "type"}, path);
    auto& what = x[name];
    if (x.contains("type"))
      if (ordered_json alone = {{name, what}};
          !keeps_to(alone, root_, types_of(x, path)))
        return refuse(path,
                      "'" + name + "' may be of other types than 'type' says");
    if (name == "$ref")
      return what.is_string() ? refer(what.get<std::string>(), path)
                              : refuse(path, "'$ref' must be a string");
    if (!what.is_array() || what.empty())
      return refuse(path, "'" + name + "' must be a list that is not empty");
    if (name == "allOf" && what.size() > 1)
      return refuse(path, "'allOf' of several schemas is not supported");
    std::vector<expression_ptr> ways;
    for (size_t i = 0; i < what.size(); ++i)
      ways.push_back(
        read(what[i], path + "/" + name + "/" + std::to_string(i)));
    return choice_of(std::move(ways));
  }

  expression_ptr refer(const std::string& to, const std::string& path) {
    if (to != "#" && !to.starts_with("#/"))
      return refuse(path, "only a '$ref' into the schema itself is supported");
    auto at = schema_at(root_, to);
    if (!at)
      return refuse(path, "there is no " + to.substr(0, 256));
    return call_of(rule_at(to, *at));
  }

  expression_ptr read_values(const ordered_json& x, const ordered_json& values,
                             const std::string& name, const std::string& path) {
    check_keys(x, {name, "type"}, path);
    if (!values.is_array() || values.empty())
      return refuse(path, "'enum' must be a list that is not empty");
    auto types = types_of(x, path);
    std::vector<expression_ptr> ways;
    for (auto& value : values)
      if (types.empty() || is_of(value, types))
        ways.push_back(literal(value.dump()));
    if (ways.empty())
      return refuse(path, "no value of '" + name + "' is of its 'type'");
    return choice_of(std::move(ways));
  }

  strings types_of(const ordered_json& x, const std::string& path) {
    auto out = schema_types(x);
    if (out.empty() && x.contains("type"))
      refuse(path, "'type' must be a string or a list of strings");
    return out;
  }

  expression_ptr read_type(const ordered_json& x, const std::string& type,
                           const std::string& path) {
    keys_.insert("type");
    if (type == "object")
      return read_object(x, path);
    if (type == "array")
      return read_array(x, path);
    if (type == "string")
      return read_string(x, path);
    if (type == "integer")
      return read_integer(x, path);
    if (type == "number")
      return read_number(x, path);
    if (type == "boolean")
      return choice_of({literal("true"), literal("false")});
    if (type == "null")
      return literal("null");
    return refuse(path, "there is no type '" + type.substr(0, 64) + "'");
  }

  /// Refuses what is in a schema beside `keys` and notes.
  void check_keys(const ordered_json& x, const std::set<std::string>& keys,
                  const std::string& path) {
    for (auto& [name, value] : x.items())
      if (!keys.contains(name)
          && std::ranges::find(notes, name) == std::end(notes)
          && !name.starts_with("x-"))
        refuse(path, "'" + name.substr(0, 64) + "' is not supported here");
  }

  /// Marks a key as read; null if it is not there.
  const ordered_json* find(const ordered_json& x, const char* name) {
    keys_.insert(name);
    return x.contains(name) ? &x[name] : nullptr;
  }

  uint32_t count(const ordered_json& x, const char* name, uint32_t otherwise,
                 const std::string& path) {
    auto value = find(x, name);
    if (!value)
      return otherwise;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > 100'000'000) {
      refuse(path, std::string{"'"} + name
                     + "' must be a whole number up to 100000000");
      return otherwise;
    }
    return value->get<uint32_t>();
  }

  /// Reads what is within; the keys of the outer one are kept meanwhile.
  expression_ptr within(const ordered_json& x, const std::string& path) {
    auto outer = std::move(keys_);
    keys_.clear();
    auto out = read(x, path);
    keys_ = std::move(outer);
    return out;
  }

  // -- objects ----------------------------------------------------------------

  struct member {
    expression_ptr pair;
    bool is_required = false;
  };

  expression_ptr read_object(const ordered_json& x, const std::string& path) {
    std::vector<member> members;
    strings names;
    std::set<std::string> required;
    if (auto list = find(x, "required"))
      for (auto& name : *list)
        if (name.is_string())
          required.insert(name.get<std::string>());
    auto properties = find(x, "properties");
    auto others = find(x, "additionalProperties");
    if (properties && !properties->is_object())
      return refuse(path, "'properties' must be an object");
    if (properties)
      for (auto& [name, schema] : properties->items()) {
        auto value = within(schema, path + "/properties/" + name);
        auto pair
          = rules_.add(in_sequence({literal(ordered_json(name).dump()),
                                    literal(":"), call_of(any_.space), value}));
        members.push_back({call_of(pair), required.erase(name) > 0});
        names.push_back(name);
      }
    auto is_open = others ? *others != false : !properties;
    auto value = others && others->is_object()
                   ? within(*others, path + "/additionalProperties")
                   : call_of(any_.value);
    for (auto& name : required) // of a type that nothing says
      if (is_open)
        members.push_back(
          {in_sequence({literal(ordered_json(name).dump()), literal(":"),
                        call_of(any_.space), value}),
           true});
      else
        return refuse(path, "'required' names '" + name.substr(0, 64)
                              + "', which is no property");
    names.insert(names.end(), required.begin(), required.end());
    expression_ptr other;
    if (is_open)
      other = in_sequence(
        {other_key(names, path), literal(":"), call_of(any_.space), value});
    return in_sequence({literal("{"), members_from(members, other)});
  }

  /// What follows the brace. Rules from the last member to the first: with
  /// something before it, and without.
  expression_ptr members_from(const std::vector<member>& all,
                              const expression_ptr& other) {
    auto gap = call_of(any_.space);
    auto close = in_sequence({gap, literal("}")});
    auto behind = close;
    auto first = literal("}");
    if (other) {
      auto one = rules_.add(other);
      auto more = repeated(in_sequence({literal(","), gap, call_of(one)}), 0,
                           unlimited);
      behind = in_sequence({more, close});
      first = choice_of({first, in_sequence({gap, call_of(one), behind})});
    }
    for (auto i = all.rbegin(); i != all.rend(); ++i) {
      auto rest = call_of(rules_.add(behind));
      auto begin = in_sequence({gap, i->pair, rest});
      auto next = in_sequence({literal(","), gap, i->pair, rest});
      if (!i->is_required) {
        begin = choice_of({begin, call_of(rules_.add(first))});
        next = choice_of({next, rest});
      }
      first = begin;
      behind = next;
    }
    return first;
  }

  /// The name of a member that is none of `names`, without escapes.
  expression_ptr other_key(const strings& names, const std::string& path) {
    std::vector<std::string_view> left;
    for (auto& x : names) {
      if (x.size() > max_key)
        return refuse(path, "a name beside 'additionalProperties' is too long");
      left.push_back(x);
    }
    return in_sequence(
      {literal("\""), other_text(std::move(left)), literal("\"")});
  }

  static expression_ptr other_text(std::vector<std::string_view> names) {
    auto& plain = json_plain_characters();
    if (names.empty())
      return repeated(in_utf8(plain), 0, unlimited);
    std::map<uint32_t, std::vector<std::string_view>> by_first;
    bool is_name = false;
    for (auto& x : names)
      if (auto c = take_code_point(x))
        by_first[*c].push_back(x);
      else
        is_name = true;
    std::vector<expression_ptr> ways;
    auto others = plain.others();
    for (auto& [c, rests] : by_first) {
      others.add({c, c});
      if (plain.has(c))
        ways.push_back(in_sequence({in_utf8({{c, c}}), other_text(rests)}));
    }
    ways.push_back(in_sequence({in_utf8(others.others()), other_text({})}));
    if (!is_name)
      ways.push_back(in_sequence({}));
    return choice_of(std::move(ways));
  }

  // -- arrays -----------------------------------------------------------------

  expression_ptr read_array(const ordered_json& x, const std::string& path) {
    auto least = count(x, "minItems", 0, path);
    auto most = count(x, "maxItems", unlimited, path);
    auto items = find(x, "items");
    auto prefix = find(x, "prefixItems");
    std::vector<expression_ptr> first;
    if (prefix) {
      if (!prefix->is_array() || prefix->size() > max_prefix_items)
        return refuse(path, "'prefixItems' must be a list of at most 64");
      for (auto& one : *prefix)
        first.push_back(within(one, path + "/prefixItems"));
    }
    if (!items && prefix)
      most = std::min<uint32_t>(most, uint32_t(first.size()));
    auto rule = rules_.add(items ? within(*items, path + "/items")
                                 : call_of(any_.value));
    if (least > most)
      return refuse(path, "it has room for fewer items than it needs");
    auto gap = call_of(any_.space);
    auto num_first = std::min<uint32_t>(most, uint32_t(first.size()));
    auto of_rest = [&](uint32_t n) {
      return n == unlimited ? n : n - std::min(n, std::max(num_first, 1u));
    };
    auto rest = repeated(in_sequence({literal(","), gap, call_of(rule)}),
                         of_rest(least), of_rest(most));
    for (auto i = std::max(num_first, 1u); i-- > 0;) {
      auto one = i < num_first ? first[i] : call_of(rule);
      rest = i > 0
               ? in_sequence({literal(","), gap, one, rest})
               : in_sequence({literal("["), gap, one, rest, gap, literal("]")});
      if (i > 0 && i >= least)
        rest = optional_of(rest);
    }
    if (most == 0)
      return literal("[]");
    return least == 0 ? choice_of({literal("[]"), rest}) : rest;
  }

  // -- strings and numbers ----------------------------------------------------

  expression_ptr read_string(const ordered_json& x, const std::string& path) {
    auto least = count(x, "minLength", 0, path);
    auto most = count(x, "maxLength", unlimited, path);
    auto pattern = find(x, "pattern");
    auto format = find(x, "format");
    if (least > most)
      return refuse(path, "'minLength' is more than 'maxLength'");
    if (pattern && (least > 0 || most < unlimited))
      return refuse(path, "'pattern' beside 'minLength' or 'maxLength' is not "
                          "supported");
    if (pattern)
      return pattern->is_string()
               ? quoted(pattern->get<std::string>(), regex_scope::part, path)
               : refuse(path, "'pattern' must be a string");
    auto is_free = least == 0 && most == unlimited;
    auto form = format && is_free && format->is_string()
                  ? format_pattern(format->get<std::string>())
                  : std::string{};
    if (!form.empty())
      return quoted(form, regex_scope::whole, path);
    if (is_free)
      return call_of(any_.text);
    return in_sequence(
      {literal("\""), repeated(json_character(), least, most), literal("\"")});
  }

  expression_ptr quoted(std::string_view pattern, regex_scope scope,
                        const std::string& path) {
    auto text = read_regex(pattern, scope, in_json_string);
    if (!text)
      return refuse(path, "'pattern': " + text.why().message);
    return in_sequence({literal("\""), *text, literal("\"")});
  }

  /// A bound of whole numbers, on the side where they are valid.
  int64_t bound(const ordered_json& x, const char* name, int64_t otherwise,
                bool is_low, const std::string& path) {
    auto value = find(x, name);
    if (!value)
      return otherwise;
    if (!value->is_number()) {
      refuse(path, std::string{"'"} + name + "' must be a number");
      return otherwise;
    }
    // What is beyond stays beyond, or such a range would hold the last one.
    constexpr auto most = static_cast<double>(most_json_integer + 1);
    auto exact = std::clamp(value->get<double>(), -most, most);
    bool is_open = std::string_view{name}.starts_with("ex");
    auto whole = is_low ? std::ceil(exact) : std::floor(exact);
    auto out = static_cast<int64_t>(whole);
    return is_open && whole == exact ? out + (is_low ? 1 : -1) : out;
  }

  expression_ptr read_integer(const ordered_json& x, const std::string& path) {
    auto most = most_json_integer;
    auto low = std::max(bound(x, "minimum", -most, true, path),
                        bound(x, "exclusiveMinimum", -most, true, path));
    auto high = std::min(bound(x, "maximum", most, false, path),
                         bound(x, "exclusiveMaximum", most, false, path));
    if (low > high)
      return refuse(path, "no whole number of up to 15 digits is in its range");
    return json_integer(std::max(low, -most), std::min(high, most));
  }

  expression_ptr read_number(const ordered_json& x, const std::string& path) {
    auto least = find(x, "minimum");
    if (!least)
      return call_of(any_.number);
    if (!least->is_number() || least->get<double>() != 0)
      return refuse(path, "a 'minimum' other than 0 is not supported for a "
                          "number that need not be whole");
    return json_number(false);
  }

  grammar_rules& rules_;
  any_json any_;
  const ordered_json& root_;
  std::map<std::string, uint32_t> known_; ///< Rules, by their place.
  std::deque<open_rule> open_;
  std::set<std::string> keys_; ///< Of the schema that is read, those known.
  std::string trouble_;
};

} // namespace

result<uint32_t> add_json_schema(grammar_rules& to, std::string_view schema) {
  auto checked = parse_json("the schema", schema);
  if (!checked)
    return checked.why();
  auto in_order = parse_in_order(schema);
  return schema_reader{to, in_order}.read();
}

uint32_t add_json_object(grammar_rules& to) {
  return any_json{to}.object;
}

} // namespace troupe
