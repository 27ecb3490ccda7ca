#pragma once

/// What a client has seen of one request. Times count from the begin of the
/// measurement.

#include "runtime/bench/load_plan.hpp"

#include <string>
#include <vector>

namespace troupe::bench {

struct call_record {
  /// When it was to be sent: latency counts from here, whatever kept the
  /// client from sending it then.
  nanoseconds intended{0};
  nanoseconds due{0};  ///< When there was room to send it, if later.
  nanoseconds sent{0}; ///< When it was.
  nanoseconds end{0};  ///< Of its stream.
  std::optional<nanoseconds> first; ///< Piece with tokens.
  std::vector<float> gaps;          ///< s; between such pieces.
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0; ///< Pieces, if the server does not say.
  bool is_counted = false;    ///< The server has said both.
  std::string error;          ///< Its kind; empty: all well.
  std::string why;            ///< In words.

  bool ok() const {
    return error.empty();
  }

  size_t num_pieces() const {
    return first ? gaps.size() + 1 : 0;
  }

  double latency() const { ///< s
    return double((end - intended).count()) * 1e-9;
  }

  double first_after() const { ///< s; only if there was one.
    return double((*first - intended).count()) * 1e-9;
  }

  /// s for each token after the first; none if there was only one.
  std::optional<double> per_token() const {
    if (!first || output_tokens < 2)
      return std::nullopt;
    double sum = 0;
    for (auto gap : gaps)
      sum += gap;
    return sum / (output_tokens - 1);
  }
};

} // namespace troupe::bench
