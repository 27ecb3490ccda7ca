#include "runtime/text/template_vocabulary.hpp"

#include <algorithm>

namespace troupe {

namespace {

using kind = template_token_kind;
using tokens = std::vector<template_token>;
using word_set = std::set<std::string_view>;

const word_set block_keywords = {"if",  "elif",   "else",  "endif",   "for",
                                 "set", "endfor", "macro", "endmacro"};
const word_set operators = {"if",    "elif",  "else", "for", "in",   "not",
                            "and",   "or",    "is",   "set", "true", "True",
                            "false", "False", "none", "None"};
/// What transformers hands to a template, and what people may hand to it.
const word_set variables
  = {"messages",        "tools",     "add_generation_prompt",
     "bos_token",       "eos_token", "thinking",
     "enable_thinking", "loop",      "namespace"};
const word_set attributes = {"role", "content",      "tool_calls", "function",
                             "name", "type",         "arguments",  "prefix",
                             "id",   "tool_call_id", "text",       "first"};
const word_set methods = {"get", "split"};
const word_set filters = {"tojson", "join", "last", "default"};
const word_set tests = {"defined", "none", "string", "mapping"};
const word_set arguments = {"separators", "ensure_ascii"};
const word_set symbols = {"+", "~", "=", "==", "!=", "|",
                          "(", ")", "[", "]",  ".",  ","};

/// Tokens by position; none beyond the ends.
const template_token& at(const tokens& x, size_t i) {
  static const template_token none;
  return i < x.size() ? x[i] : none;
}

bool asks_for_tools(const template_tag& tag) {
  static const word_set words = {"if",  "tools", "is", "defined",
                                 "not", "none",  "and"};
  bool named = false;
  for (auto& x : tag.tokens) {
    if (x.kind != kind::name || !words.contains(x.value))
      return false;
    named |= x.value == "tools";
  }
  return named && !at(tag.tokens, 1).is_name("not");
}

bool ends_branch(const template_tag& tag) {
  return tag.is_block("elif") || tag.is_block("else") || tag.is_block("endif");
}

/// The names that a tag {% set a, b.c = ... %} or {% for a in ... %} gives.
void add_targets(const tokens& x, template_scope& to) {
  for (size_t i = 1; i < x.size(); ++i) {
    if (x[i].is_symbol("=") || x[i].is_name("in"))
      return;
    if (x[i].kind != kind::name)
      continue;
    bool is_attribute = x[i - 1].is_symbol(".");
    (is_attribute ? to.attributes : to.names).insert(x[i].value);
  }
}

/// The strings of {% set a, b = 'x', 'y' %}.
void add_constants(const tokens& x, template_scope& to) {
  std::vector<std::string> names, strings;
  size_t i = 1;
  for (; i + 1 < x.size() && x[i].kind == kind::name; i += 2) {
    names.push_back(x[i].value);
    if (!x[i + 1].is_symbol(","))
      break;
  }
  if (!at(x, i + 1).is_symbol("="))
    return;
  for (i += 2; i < x.size() && x[i].kind == kind::string; i += 2) {
    strings.push_back(x[i].value);
    if (i + 1 < x.size() && !x[i + 1].is_symbol(","))
      return;
  }
  if (i < x.size() || names.size() != strings.size())
    return;
  for (size_t n = 0; n < names.size(); ++n)
    to.constants[names[n]] = strings[n];
}

std::string unknown(std::string what, const std::string& name) {
  return "it has " + std::move(what) + " \"" + name
         + "\", which is not known here";
}

/// Checks the tokens of one tag.
class vocabulary_check {
public:
  vocabulary_check(const tokens& x, const template_scope& scope,
                   std::set<std::string>& uses)
    : x_(x), scope_(scope), uses_(uses) {
  }

  /// Returns what is not known, or nothing.
  std::string run() {
    std::string why;
    for (size_t i = 0; i < x_.size() && why.empty(); ++i)
      switch (x_[i].kind) {
        case kind::name:
          why = name(i);
          break;
        case kind::string:
          why = string(i);
          break;
        case kind::number:
          why = number(i);
          break;
        case kind::symbol:
          if (!symbols.contains(x_[i].value)
              && !(x_[i].value == "-" && at(x_, i + 1).kind == kind::number))
            why = unknown("the sign", x_[i].value);
          break;
      }
    return why;
  }

private:
  std::string name(size_t i) {
    auto& value = x_[i].value;
    auto& before = at(x_, i - 1); // at 0: none
    auto& after = at(x_, i + 1);
    bool called = after.is_symbol("(");
    if (before.is_symbol("."))
      return attribute(value, called);
    if (before.is_symbol("|"))
      return filters.contains(value) ? "" : unknown("the filter", value);
    if (before.is_name("is")
        || (before.is_name("not") && at(x_, i - 2).is_name("is")))
      return value == "not" || tests.contains(value)
               ? ""
               : unknown("the test", value);
    if (operators.contains(value))
      return "";
    if (scope_.names.contains(value))
      return "";
    if (after.is_symbol("=") && i > 0 && !x_[0].is_name("set"))
      return argument(value);
    if (after.is_symbol("=") && i > 1)
      return argument(value);
    if (!variables.contains(value) || (called && value != "namespace"))
      return unknown(called ? "the function" : "the variable", value);
    uses_.insert(value);
    return "";
  }

  std::string argument(const std::string& value) const {
    return arguments.contains(value) || scope_.attributes.contains(value)
             ? ""
             : unknown("the argument", value);
  }

  std::string attribute(const std::string& value, bool called) {
    if (called)
      return methods.contains(value) ? "" : unknown("the method", value);
    if (attributes.contains(value) || scope_.attributes.contains(value)) {
      uses_.insert(value);
      return "";
    }
    return unknown("the field", value);
  }

  /// A string in brackets after something is a field of it.
  std::string string(size_t i) {
    bool is_field = i > 1 && x_[i - 1].is_symbol("[")
                    && at(x_, i + 1).is_symbol("]")
                    && (x_[i - 2].kind == kind::name || x_[i - 2].is_symbol("]")
                        || x_[i - 2].is_symbol(")"));
    return is_field ? attribute(x_[i].value, false) : "";
  }

  /// Numbers choose a part of what was split, or the first message.
  std::string number(size_t i) {
    auto begin = at(x_, i - 1).is_symbol("-") ? i - 2 : i - 1;
    auto& of = at(x_, begin - 1);
    if (at(x_, begin).is_symbol(",") && at(x_, i + 1).is_symbol(")"))
      return ""; // how often to split
    if (!at(x_, begin).is_symbol("[") || !at(x_, i + 1).is_symbol("]"))
      return unknown("the number", x_[i].value);
    if (of.is_symbol(")"))
      return "";
    if (!of.is_name("messages") || x_[i].value != "0" || begin != i - 1)
      return unknown("the number", x_[i].value);
    uses_.insert("messages[0]");
    return "";
  }

  const tokens& x_;
  const template_scope& scope_;
  std::set<std::string>& uses_;
};

} // namespace

std::vector<template_tag>
without_declared_tools(std::vector<template_tag> all) {
  std::vector<template_tag> out;
  for (size_t i = 0; i < all.size(); ++i) {
    bool skips = all[i].is_block("if") && asks_for_tools(all[i]);
    out.push_back(std::move(all[i]));
    for (int depth = 0; skips && i + 1 < all.size(); ++i) {
      auto& next = all[i + 1];
      if (depth == 0 && ends_branch(next))
        break;
      depth += next.is_block("if") ? 1 : next.is_block("endif") ? -1 : 0;
    }
  }
  return out;
}

template_scope scope_of(const std::vector<template_tag>& tags) {
  template_scope out;
  std::map<std::string, int> times; // that a name is set
  for (auto& tag : tags) {
    auto& x = tag.tokens;
    template_scope given;
    if (tag.is_block("set") || tag.is_block("for"))
      add_targets(x, given);
    if (tag.is_block("set"))
      add_constants(x, out);
    if (tag.is_block("macro"))
      for (size_t i = 1; i < x.size(); ++i)
        if (x[i].kind == kind::name)
          given.names.insert(x[i].value);
    for (size_t i = 0; i + 1 < x.size(); ++i) // namespace(a=..., b=...)
      if (x[i].is_name("namespace"))
        for (size_t k = i + 1; k + 1 < x.size(); ++k)
          if (x[k].kind == kind::name && x[k + 1].is_symbol("="))
            given.attributes.insert(x[k].value);
    for (auto& name : given.names)
      ++times[name];
    out.names.merge(given.names);
    out.attributes.merge(given.attributes);
  }
  std::erase_if(out.constants, [&](auto& x) { return times[x.first] != 1; });
  for (auto x : {"thinking", "enable_thinking", "messages", "bos_token",
                 "eos_token", "add_generation_prompt", "tools"})
    out.names.erase(x); // giving them a value does not make them its own
  return out;
}

result<void> check_vocabulary(const std::vector<template_tag>& tags,
                              const template_scope& scope,
                              std::set<std::string>& uses) {
  for (auto& tag : tags) {
    if (tag.what == template_tag::kind::text)
      continue;
    if (tag.what == template_tag::kind::block) {
      auto& first = at(tag.tokens, 0);
      if (first.kind != kind::name || !block_keywords.contains(first.value))
        return failure{errc::invalid_input, unknown("the tag", first.value)};
      bool has_value = std::any_of(tag.tokens.begin(), tag.tokens.end(),
                                   [](auto& x) { return x.is_symbol("="); });
      if (tag.is_block("set") && !has_value)
        return failure{errc::invalid_input, unknown("the tag", "endset")};
      if (tag.is_block("endfor") || tag.is_block("endmacro")
          || tag.is_block("macro") || tag.is_block("endif"))
        continue;
    }
    auto why = vocabulary_check{tag.tokens, scope, uses}.run();
    if (!why.empty())
      return failure{errc::invalid_input, why};
  }
  return {};
}

} // namespace troupe
