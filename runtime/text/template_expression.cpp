#include "runtime/text/template_expression.hpp"

namespace troupe {

namespace {

using value = template_value;
using token_kind = template_token_kind;

bool is_text(const value& x) {
  return x.what == value::kind::text;
}

std::vector<value> split(const std::string& text, const std::string& by,
                         int64_t most) {
  std::vector<value> out;
  size_t begin = 0;
  auto end = text.find(by);
  for (; end != text.npos && most != 0; end = text.find(by, begin), --most) {
    out.push_back(value::of(text.substr(begin, end - begin)));
    begin = end + by.size();
  }
  out.push_back(value::of(text.substr(begin)));
  return out;
}

} // namespace

bool template_expression::name_is(std::string_view name) const {
  return at_ < x_.size() && x_[at_].is_name(name);
}

bool template_expression::symbol_is(std::string_view symbol) const {
  return at_ < x_.size() && x_[at_].is_symbol(symbol);
}

bool template_expression::take_name(std::string_view name) {
  bool is = name_is(name);
  at_ += is;
  return is;
}

bool template_expression::take_symbol(std::string_view symbol) {
  bool is = symbol_is(symbol);
  at_ += is;
  return is;
}

std::string template_expression::take_any() {
  return at_ < x_.size() ? x_[at_++].value : std::string{};
}

template_value template_expression::fail() {
  failed_ = true;
  at_ = x_.size();
  return {};
}

template_value template_expression::evaluate() {
  constexpr int most = 64;
  if (++depth_ > most)
    return fail();
  auto out = either();
  if (take_name("if")) {
    bool holds = either().holds();
    auto otherwise = take_name("else") ? evaluate() : value{};
    if (!holds)
      out = otherwise;
  }
  --depth_;
  return out;
}

template_value template_expression::either() {
  auto out = both();
  while (take_name("or")) {
    auto next = both();
    if (!out.holds())
      out = next;
  }
  return out;
}

template_value template_expression::both() {
  auto out = negated();
  while (take_name("and")) {
    auto next = negated();
    if (out.holds())
      out = next;
  }
  return out;
}

template_value template_expression::negated() {
  bool flips = false;
  bool any = false;
  while (take_name("not")) {
    flips = !flips;
    any = true;
  }
  auto out = compared();
  return any ? value::of(out.holds() != flips) : out;
}

template_value template_expression::compared() {
  auto out = sum();
  while (!failed_) {
    if (take_symbol("=="))
      out = value::of(out.equals(sum()));
    else if (take_symbol("!="))
      out = value::of(!out.equals(sum()));
    else if (take_name("is"))
      out = test(std::move(out));
    else if (name_is("in")
             || (name_is("not") && at_ + 1 < x_.size()
                 && x_[at_ + 1].is_name("in"))) {
      bool wanted = !take_name("not");
      take_name("in");
      auto whole = sum();
      if (!is_text(out) || (!is_text(whole) && !whole.fields))
        return fail();
      bool found = whole.fields
                     ? whole.fields->contains(out.text)
                     : whole.text.find(out.text) != std::string::npos;
      out = value::of(found == wanted);
    } else
      break;
  }
  return out;
}

template_value template_expression::test(value x) {
  bool wanted = !take_name("not");
  auto name = take_any();
  bool is = false;
  if (name == "defined")
    is = x.what != value::kind::undefined;
  else if (name == "none")
    is = x.what == value::kind::none;
  else if (name == "string")
    is = is_text(x);
  else if (name == "mapping")
    is = x.what == value::kind::fields;
  else
    return fail();
  return value::of(is == wanted);
}

template_value template_expression::sum() {
  auto out = operand();
  while (symbol_is("+") || symbol_is("~")) {
    ++at_;
    auto next = operand();
    if (is_text(out) && is_text(next))
      out.text += next.text;
    else if (out.what == value::kind::list && next.what == out.what)
      out.items.insert(out.items.end(), next.items.begin(), next.items.end());
    else
      return fail();
  }
  return out;
}

template_value template_expression::operand() {
  return postfix(primary());
}

template_value template_expression::primary() {
  if (at_ >= x_.size() || failed_)
    return fail();
  if (take_symbol("(")) {
    auto out = evaluate();
    return take_symbol(")") ? out : fail();
  }
  if (symbol_is("["))
    return list();
  bool negative = take_symbol("-");
  auto what = at_ < x_.size() ? x_[at_].kind : token_kind::symbol;
  if (what == token_kind::number && x_[at_].value.size() < 10) {
    value out;
    out.what = value::kind::number;
    out.number = std::stoll(take_any()) * (negative ? -1 : 1);
    return out;
  }
  if (what == token_kind::string)
    return value::of(take_any());
  return what == token_kind::name ? name() : fail();
}

template_value template_expression::name() {
  auto word = take_any();
  if (word == "true" || word == "True")
    return value::of(true);
  if (word == "false" || word == "False")
    return value::of(false);
  if (word == "none" || word == "None") {
    value out;
    out.what = value::kind::none;
    return out;
  }
  if (!symbol_is("("))
    return names_.lookup(word);
  return word == "namespace" ? fields() : names_.call(word, arguments());
}

template_value template_expression::postfix(value x) {
  while (!failed_)
    if (take_symbol(".")) {
      auto word = take_any();
      x = symbol_is("(") ? method(std::move(x), word) : x.field(word);
    } else if (take_symbol("[")) {
      x = part(std::move(x));
    } else if (take_symbol("|")) {
      x = filtered(std::move(x));
    } else
      break;
  return x;
}

template_value template_expression::part(value x) {
  auto index = evaluate();
  if (!take_symbol("]"))
    return fail();
  if (is_text(index))
    return x.field(index.text);
  auto size = static_cast<int64_t>(x.items.size());
  auto i = index.number < 0 ? index.number + size : index.number;
  if (x.what != value::kind::list || i < 0 || i >= size)
    return fail();
  return x.items[static_cast<size_t>(i)];
}

template_value template_expression::method(value x, const std::string& name) {
  auto given = arguments();
  if (given.empty() || !is_text(given[0]))
    return fail();
  if (name == "get" && x.fields) {
    value none;
    none.what = value::kind::none;
    auto found = x.field(given[0].text);
    return found.what == value::kind::undefined ? none : found;
  }
  if (name != "split" || !is_text(x) || given[0].text.empty())
    return fail();
  value out;
  out.what = value::kind::list;
  out.items = split(x.text, given[0].text,
                    given.size() > 1 ? given[1].number : -1);
  return out;
}

template_value template_expression::filtered(value x) {
  auto name = take_any();
  auto given = symbol_is("(") ? arguments() : std::vector<value>{};
  if (name == "default")
    return x.what != value::kind::undefined ? x
           : given.empty()                  ? value::of(std::string{})
                                            : given[0];
  if (x.what != value::kind::list)
    return fail();
  if (name == "last")
    return x.items.empty() ? value{} : x.items.back();
  if (name != "join")
    return fail();
  std::string out;
  for (auto& item : x.items) {
    if (&item != &x.items.front() && !given.empty())
      out += given[0].text;
    if (!is_text(item))
      return fail();
    out += item.text;
  }
  return value::of(out);
}

std::vector<template_value> template_expression::arguments() {
  std::vector<value> out;
  take_symbol("(");
  while (!failed_ && !take_symbol(")")) {
    out.push_back(evaluate());
    if (!take_symbol(",") && !symbol_is(")"))
      fail();
  }
  return out;
}

template_value template_expression::list() {
  value out;
  out.what = value::kind::list;
  take_symbol("[");
  while (!failed_ && !take_symbol("]")) {
    out.items.push_back(evaluate());
    if (!take_symbol(",") && !symbol_is("]"))
      fail();
  }
  return out;
}

template_value template_expression::fields() {
  std::map<std::string, value> out;
  take_symbol("(");
  while (!failed_ && !take_symbol(")")) {
    auto key = take_any();
    if (!take_symbol("="))
      return fail();
    out[key] = evaluate();
    if (!take_symbol(",") && !symbol_is(")"))
      fail();
  }
  return value::of(std::move(out));
}

} // namespace troupe
