#pragma once

/// What `troupe top` shows of two answers of /cluster: rates are what lies
/// between them.

#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

class top_view {
public:
  top_view();
  ~top_view();

  /// Takes an answer of /cluster, so many seconds after the one before; any
  /// number for the first. Error: invalid_input if it is none.
  result<void> take(std::string_view answer, double seconds);

  /// At most `num_lines` lines of at most `width` characters: parts that do not
  /// fit are counted in the last line of their table. The last answer's; only
  /// after one was taken.
  std::vector<std::string> lines(size_t num_lines, size_t width) const;

private:
  struct state;

  std::unique_ptr<state> state_;
};

} // namespace troupe
