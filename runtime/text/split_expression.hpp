#pragma once

/// A regular expression that cuts text, and nothing else that regular
/// expressions are good for.

#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace troupe {

/// Part of a text: what the expression matched, or what lay between.
struct text_part {
  std::string_view text;
  bool matched = false;
};

/// Compiled once, used by any number of threads.
class split_expression {
public:
  /// Compiles an expression in Oniguruma's syntax.
  static result<split_expression> compile(std::string_view oniguruma);

  split_expression(split_expression&&) noexcept;
  split_expression& operator=(split_expression&&) noexcept;
  ~split_expression();

  /// Returns the parts of `texts` (valid UTF-8, each below 4 GiB and matched
  /// by itself), in order, none empty. Where one match needs more steps than a
  /// multiple of the text's length, which no expression in use does, the rest
  /// of that text becomes one part that is not matched.
  std::vector<text_part> split(std::span<const text_part> texts) const;

private:
  struct compiled;

  explicit split_expression(std::unique_ptr<compiled> code);

  std::unique_ptr<const compiled> code_;
};

} // namespace troupe
