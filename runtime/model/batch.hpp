#pragma once

/// One step of one rank: which tokens of which sequences go through the model
/// together, and what comes out.

#include "kernels/ops.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

/// How a token attends; which one does how: attention_forms.hpp.
enum class attention_form : uint8_t {
  absorbed,   ///< kernels::mla_attention
  multi_head, ///< kernels::mha_attention
};

/// A run of tokens of one sequence, all of one form.
struct batch_rows {
  std::vector<int32_t> tokens;
  uint32_t first_position = 0; ///< Of tokens[0] in its sequence.
  std::shared_ptr<const kernels::block_table> blocks;
  attention_form form = attention_form::absorbed;
  bool want_logits = false;     ///< Of the last token.
  bool want_all_logits = false; ///< Of every token (verify).
  /// How the token that follows the last one is chosen, if it is to be.
  std::optional<kernels::draw> draw = std::nullopt;

  /// Rows that need logits, the last ones.
  uint32_t num_logit_rows() const {
    if (want_all_logits)
      return static_cast<uint32_t>(tokens.size());
    return want_logits || draw ? 1 : 0;
  }
};

struct batch {
  std::vector<batch_rows> sequences;

  uint32_t num_rows() const {
    uint32_t n = 0;
    for (auto& s : sequences)
      n += static_cast<uint32_t>(s.tokens.size());
    return n;
  }
};

/// What a step has computed, for those of its sequences that asked for it, in
/// order.
struct step_result {
  std::vector<int32_t> tokens;            ///< Drawn ones, or kernels::no_token.
  std::vector<std::vector<float>> logits; ///< [rows that want them, vocab]
};

} // namespace troupe
