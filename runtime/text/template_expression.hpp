#pragma once

/// The worth of an expression in a chat template. Knows no more than what
/// check_vocabulary() lets pass.

#include "runtime/text/template_tokens.hpp"
#include "runtime/text/template_value.hpp"

#include <functional>
#include <span>

namespace troupe {

/// What the names in an expression stand for.
class template_names {
public:
  virtual ~template_names() = default;
  virtual template_value lookup(const std::string& name) const = 0;
  /// Calls the macro `name`.
  virtual template_value
  call(const std::string& name, std::vector<template_value> arguments)
    = 0;
};

/// One expression.
class template_expression {
public:
  template_expression(std::span<const template_token> tokens,
                      template_names& names)
    : x_(tokens), names_(names) {
  }

  /// Returns what the tokens from here to the next comma or the end, or to what
  /// is no part of an expression, are worth.
  template_value evaluate();

  /// The index of the first token that was not looked at.
  size_t position() const {
    return at_;
  }

  /// Whether something made no sense; values are worthless then.
  bool failed() const {
    return failed_;
  }

private:
  using value = template_value;

  bool name_is(std::string_view name) const;
  bool symbol_is(std::string_view symbol) const;
  bool take_name(std::string_view name);
  bool take_symbol(std::string_view symbol);
  std::string take_any();
  value fail();

  value either();
  value both();
  value negated();
  value compared();
  value test(value x);
  value sum();
  value operand();
  value primary();
  value name();
  value postfix(value x);
  value part(value x);
  value method(value x, const std::string& name);
  value filtered(value x);
  std::vector<value> arguments();
  value list();
  value fields();

  std::span<const template_token> x_;
  template_names& names_;
  size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

} // namespace troupe
