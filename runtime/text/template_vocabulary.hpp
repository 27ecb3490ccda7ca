#pragma once

/// The names and signs of a chat template that are known not to change what it
/// writes, or to change it in a way that is looked for. A template with any
/// other is not followed: nobody knows what it does with them.

#include "runtime/text/template_tokens.hpp"

#include <map>
#include <set>

namespace troupe {

/// What a template gives names to.
struct template_scope {
  std::set<std::string> names;      ///< Variables, parameters, macros.
  std::set<std::string> attributes; ///< Of its namespaces.
  std::map<std::string, std::string> constants; ///< Set once, to a string.
};

/// Leaves out what is written only when tools are declared.
std::vector<template_tag> without_declared_tools(std::vector<template_tag> all);

template_scope scope_of(const std::vector<template_tag>& tags);

/// Errors: invalid_input, with a sentence that begins with "it" and names what
/// is not known. `uses` gets the names that are not the template's own.
result<void> check_vocabulary(const std::vector<template_tag>& tags,
                              const template_scope& scope,
                              std::set<std::string>& uses);

} // namespace troupe
