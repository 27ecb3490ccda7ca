#pragma once

/// What a model has to read and to compute at least for a step: the floor that
/// times are held against. Figures follow from config.json and from what the
/// checkpoint stores, not from any implementation; values between layers and
/// the embedding's few rows are left out, since caches hold them.

#include "runtime/checkpoint/inspect.hpp"

namespace troupe {

/// Rows of a step that look alike.
struct step_shape {
  uint32_t sequences = 1;
  uint32_t rows = 1;         ///< Of each sequence.
  double first_position = 0; ///< Of the first of them; may be a mean.
  uint32_t logit_rows = 1;   ///< Of all sequences together.
};

struct step_work {
  double experts = 0; ///< Distinct ones that a MoE layer is expected to use.
  double weight_bytes = 0; ///< Each weight that is used, once.
  double cache_bytes = 0;  ///< Latents read once, and those appended.
  double flops = 0;        ///< Multiply and add as two.

  double bytes() const {
    return weight_bytes + cache_bytes;
  }

  step_work& operator+=(const step_work& x);
};

class model_work {
public:
  /// `summary` of the checkpoint that `config` describes; `activations` decide
  /// about the cache's type.
  model_work(const model_config& config, const model_summary& summary,
             precision activations);

  /// Experts that `rows` rows reach when each chooses top-k of all alike:
  /// E (1 - (1 - k / E)^rows).
  double expected_experts(double rows) const;

  /// One step. Attention counts per query, key and head what absorbed MLA
  /// computes, 2 (2 latent + rope), or for steps of several rows a sequence
  /// what its plain form does, 2 (nope + rope + v), if that is less.
  step_work step(const step_shape& shape) const;

  /// A prompt of `tokens` in chunks of at most `chunk`, logits for its last
  /// token alone. `experts` is the sum over chunks.
  step_work prompt(uint32_t tokens, uint32_t chunk) const;

private:
  double attention_flops(const step_shape& shape) const;

  model_config config_;
  double cache_bytes_; ///< Of a token, all layers.
  /// Bytes and FLOPs of a row, of what is used whenever anything is.
  double always_bytes_;
  double always_flops_;
  double head_bytes_;
  double head_flops_;
  double expert_bytes_; ///< Of one expert in every MoE layer.
  double expert_flops_;
};

} // namespace troupe
