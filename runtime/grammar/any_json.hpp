#pragma once

/// Any JSON, made of rules that call each other.

#include "runtime/grammar/expression.hpp"

namespace troupe {

/// The rules that its constructor adds.
struct any_json {
  explicit any_json(grammar_rules& to);

  uint32_t space; ///< Where white space may be.
  uint32_t value;
  uint32_t text;
  uint32_t object = 0;
  uint32_t array = 0;
  uint32_t number = 0;
};

} // namespace troupe
