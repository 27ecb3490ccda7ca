#pragma once

/// How a model of this kind lies in a GGUF file that llama.cpp reads
/// (architecture deepseek2, MLA in absorbed form).

#include "runtime/checkpoint/config.hpp"
#include "runtime/convert/gguf_writer.hpp"

namespace troupe {

/// What of its sources a tensor holds.
enum class gguf_part : uint8_t {
  rows,    ///< All of them, one after the other.
  k_heads, ///< Of kv_b_proj: every head's first qk_nope rows, transposed.
  v_heads, ///< Of kv_b_proj: every head's last v_head_dim rows.
};

struct gguf_plan {
  gguf_tensor tensor;
  gguf_part part = gguf_part::rows;
  std::vector<std::string> sources; ///< Published names: E of experts, else 1.
  uint64_t rows = 1;                ///< Of each source.
  uint64_t cols = 1;
};

/// Error: invalid_input that says what llama.cpp would not run, or would run
/// as another model: no shared experts; q_lora_rank where it expects none
/// (26 and 27 layers) or none where it expects one; groups chosen by their best
/// expert; YaRN whose mscale and mscale_all_dim are not the same.
result<void> check_gguf_can_hold(const model_config& config);

/// Adds the keys of the model itself. `weights`: the type of its matrices.
void add_model_keys(const model_config& config, const std::string& name,
                    ggml_type weights, gguf_keys& out);

/// Returns all tensors in file order. Matrices have the type `weights`, but
/// rows that are not whole blocks of Q8_0 stay BF16; vectors and the router are
/// FP32. A tied head is left out. MTP layers are too.
std::vector<gguf_plan> gguf_layout(const model_config& config,
                                   ggml_type weights);

} // namespace troupe
