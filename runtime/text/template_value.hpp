#pragma once

/// What a name of a chat template stands for.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

struct template_value {
  enum class kind : uint8_t {
    undefined,
    none,
    boolean,
    number,
    text,
    list,
    fields, ///< Of a message or a namespace; copies share them.
  };

  kind what = kind::undefined;
  int64_t number = 0; ///< Of a boolean, too.
  std::string text;
  std::vector<template_value> items;
  std::shared_ptr<std::map<std::string, template_value>> fields;

  static template_value of(bool x);
  static template_value of(std::string x);
  static template_value of(std::map<std::string, template_value> x);

  /// Whether it counts as true.
  bool holds() const;
  bool equals(const template_value& other) const;
  /// The field `name`, undefined if there is none.
  template_value field(const std::string& name) const;
};

} // namespace troupe
