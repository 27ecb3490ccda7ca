#pragma once

/// A checkpoint's config.json, in its own words, and what follows from it.

#include "kernels/ops.hpp"
#include "runtime/checkpoint/generation_config.hpp"
#include "runtime/checkpoint/precision.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct yarn_scaling {
  double factor = 1;
  double original_max_position_embeddings = 4096;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;
  std::optional<double> attention_factor; ///< Of sin and cos; else by mscale.
  bool truncate = true; ///< The blend begins and ends at whole dimensions.

  bool operator==(const yarn_scaling&) const = default;
};

/// Fields keep the checkpoint's names.
struct model_config {
  std::string architecture; ///< DeepseekV3ForCausalLM or DeepseekV2ForCausalLM
  uint32_t vocab_size = 0;
  uint32_t hidden_size = 0;
  uint32_t num_hidden_layers = 0;
  uint32_t first_k_dense_replace = 0;
  uint32_t intermediate_size = 0;
  uint32_t moe_intermediate_size = 0;
  uint32_t n_routed_experts = 0;
  uint32_t n_shared_experts = 0;
  uint32_t num_experts_per_tok = 0;
  uint32_t n_group = 1;
  uint32_t topk_group = 1;
  float routed_scaling_factor = 1;
  bool norm_topk_prob = true;
  kernels::scoring scoring_func = kernels::scoring::sigmoid;
  kernels::group_score group_scoring = kernels::group_score::sum_of_best_two;
  bool has_correction_bias = true;
  uint32_t num_attention_heads = 0;
  uint32_t q_lora_rank = 0; ///< 0: none.
  uint32_t kv_lora_rank = 0;
  uint32_t qk_nope_head_dim = 0;
  uint32_t qk_rope_head_dim = 0;
  uint32_t v_head_dim = 0;
  float rms_norm_eps = 1e-6f;
  double rope_theta = 10000;
  std::optional<yarn_scaling> rope_scaling;
  uint32_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  uint32_t num_nextn_predict_layers = 0;
  bool fp8 = false;   ///< quantization_config says fp8, 128 x 128 blocks.
  bool ue8m0 = false; ///< Scales of FP8 activations are powers of two.
  int32_t bos_token_id = -1;
  std::vector<int32_t> eos_token_ids; ///< generation_config.json wins if there.
  generation_defaults generation;

  uint32_t num_moe_layers() const {
    return num_hidden_layers - first_k_dense_replace;
  }

  bool is_moe(uint32_t layer) const {
    return layer >= first_k_dense_replace;
  }

  /// In which rows travel to experts and come back.
  kernels::row_layout dispatch_layout(precision activations) const;
  kernels::dtype combine_type(precision activations) const;
};

/// Says whether rows may be computed in `activations` the way the checkpoint
/// means them. Error: invalid_input that names the field.
result<void> check_activations(const model_config& config,
                               precision activations);

/// Reads the text of a config.json; `what` stands in errors. Every field is
/// used, known to change no result, or refused. Error: invalid_input that names
/// the field.
result<model_config> parse_model_config(std::string what,
                                        std::string_view text);

/// Reads config.json (and generation_config.json) of a model directory. Error:
/// invalid_input that names the field.
result<model_config> read_model_config(const std::filesystem::path& model_dir);

} // namespace troupe
