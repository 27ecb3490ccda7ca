#pragma once

/// How long prompts or answers are: "512", "100-900" (all equally often) or
/// "lognormal:512,0.8" (median and sigma of the logarithm).

#include "runtime/bench/chance.hpp"
#include "runtime/error.hpp"

#include <string_view>

namespace troupe::bench {

/// Longer ones are never meant.
constexpr uint32_t max_length = 1 << 24; ///< Tokens.

class length_law {
public:
  /// Always `n`.
  explicit length_law(uint32_t n) : least_(n), most_(n) {
  }

  /// Error: invalid_input.
  static result<length_law> parse(std::string_view text);

  /// Tokens, at least 1.
  uint32_t draw(chance& from) const;

private:
  uint32_t least_;
  uint32_t most_;
  double median_ = 0; ///< Above 0: lognormal.
  double sigma_ = 0;
};

} // namespace troupe::bench
