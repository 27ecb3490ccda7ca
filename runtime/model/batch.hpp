#pragma once

/// One step of one rank: which tokens of which sequences go through the model
/// together, and what comes out.

#include "kernels/ops.hpp"
#include "runtime/service.hpp"

#include <algorithm>
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
  /// Scores of tokens that follow others of these: draws of given ones, whose
  /// `row` is the place in `tokens`; ascending. Not with want_all_logits.
  std::vector<kernels::draw> scored = {};
};

struct batch {
  std::vector<batch_rows> sequences;

  uint32_t num_rows() const {
    uint32_t n = 0;
    for (auto& s : sequences)
      n += static_cast<uint32_t>(s.tokens.size());
    return n;
  }

  /// Most scores that are wanted for a token.
  uint32_t num_scores() const {
    uint32_t n = 0;
    for (auto& s : sequences) {
      n = std::max(n, s.draw ? s.draw->num_scores : 0);
      for (auto& x : s.scored)
        n = std::max(n, x.num_scores);
    }
    return n;
  }
};

/// What a step has computed, for those of its sequences that asked for it, in
/// order.
struct step_result {
  /// Given ones that are scored, then the drawn one; or kernels::no_token.
  std::vector<int32_t> tokens;
  std::vector<std::vector<float>> logits; ///< [rows that want them, vocab]
  uint32_t num_scores = 0;        ///< Room for each token; 0: none are wanted.
  std::vector<float> scores = {}; ///< [tokens, num_scores]
  std::vector<int32_t> score_ids = {}; ///< [tokens, num_scores]

  /// The first `count` scores of tokens[i].
  std::vector<token_score> scores_of(size_t i, uint32_t count) const {
    std::vector<token_score> out;
    for (auto at = i * num_scores; out.size() < count; ++at)
      out.push_back({score_ids[at], scores[at]});
    return out;
  }
};

} // namespace troupe
