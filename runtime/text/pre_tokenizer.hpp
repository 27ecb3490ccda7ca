#pragma once

/// Cuts text into the pieces within which byte-pair encoding may merge.

#include "runtime/text/split_expression.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What becomes of the parts that an expression matched ("invert": did not
/// match): pieces of their own, or nothing.
enum class split_behavior : uint8_t { isolated, removed };

/// A step of the pre-tokenizer as tokenizer.json writes it.
struct split_step {
  std::string expression; ///< Oniguruma's syntax.
  split_behavior behavior = split_behavior::isolated;
  bool invert = false;
};

struct pre_tokenizer_spec {
  std::vector<split_step> splits;   ///< Each cuts the pieces of the one before.
  bool add_prefix_space = false;    ///< To pieces that do not begin with one.
  bool use_gpt2_expression = false; ///< ByteLevel's own, after all others.
};

class pre_tokenizer {
public:
  static result<pre_tokenizer> make(const pre_tokenizer_spec& spec);

  /// Calls `on_piece` with each piece of `text` (valid UTF-8), in order; a
  /// piece is valid during the call.
  void split(std::string_view text,
             const std::function<void(std::string_view)>& on_piece) const;

private:
  struct step {
    split_expression expression;
    split_behavior behavior;
    bool invert;
  };

  static std::vector<text_part> apply(const step& x,
                                      const std::vector<text_part>& pieces);

  void byte_level(std::string_view piece,
                  const std::function<void(std::string_view)>& on_piece) const;

  std::vector<step> steps_;
  std::vector<split_expression> gpt2_; // one or none
  bool add_prefix_space_ = false;
};

} // namespace troupe
