#pragma once

/// What a request has to keep to be a good one: "ttft:500ms,tpot:50ms". A
/// number alone is one of milliseconds.

#include "runtime/bench/call_record.hpp"

namespace troupe::bench {

struct goodput_limits {
  std::optional<double> ttft; ///< s to the first token.
  std::optional<double> tpot; ///< s for each other one.
  std::optional<double> e2el; ///< s to the end.

  /// Error: invalid_input.
  static result<goodput_limits> parse(std::string_view text);

  /// Whether `x` has come to its end and kept all of them.
  bool met_by(const call_record& x) const;
};

} // namespace troupe::bench
