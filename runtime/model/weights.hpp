#pragma once

/// A checkpoint's tensors on a device: what an attention rank holds and what
/// an expert worker holds. Loading reads each tensor once, checks its shape
/// and type and that every element is a finite number, and packs it; see
/// load_window.hpp for how much of the file may lie in memory at a time.

#include "kernels/device.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/digest.hpp"

#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace troupe {

/// Called while loading: bytes packed so far, bytes in all.
using load_progress = std::function<void(uint64_t done, uint64_t total)>;

struct attention_layer {
  kernels::tensor input_norm; ///< [1, hidden] f32
  kernels::weight q_a;        ///< empty without q_lora_rank
  kernels::tensor q_a_norm;   ///< [1, q_lora_rank] f32
  kernels::weight q_b;       ///< [heads * (nope + rope), q_lora_rank or hidden]
  kernels::weight kv_a;      ///< [kv_lora_rank + rope, hidden]
  kernels::tensor kv_a_norm; ///< [1, kv_lora_rank] f32
  kernels::weight k_b;       ///< heads x [kv_lora_rank, nope]: transposed
  kernels::weight v_b;       ///< heads x [v_head_dim, kv_lora_rank]
  kernels::weight o;         ///< [hidden, heads * v_head_dim]
  kernels::tensor post_norm; ///< [1, hidden] f32
  kernels::expert_weights mlp; ///< dense MLP, or the shared expert; or empty
  kernels::weight gate;        ///< [experts, hidden]; MoE layers
  kernels::tensor gate_bias;   ///< [1, experts] f32; or empty
};

/// Everything but the routed experts. Shared by the ranks of one device.
struct attention_weights {
  model_config config;
  precision activations = precision::fp8;
  kernels::tensor embedding; ///< [vocab, hidden]
  kernels::tensor norm;      ///< [1, hidden] f32
  kernels::weight head;      ///< [vocab, hidden]
  kernels::tensor cos_sin;   ///< [max_model_len, rope] f32
  std::vector<attention_layer> layers;
  std::vector<kernels::buffer> memory; ///< What to free, by the owner.
  digest_table digests;                ///< Of every tensor in here.
};

/// The physical experts of one worker: slots[layer - first MoE layer][slot].
struct expert_shard {
  model_config config;
  precision activations = precision::fp8;
  std::vector<std::vector<kernels::expert_weights>> slots;
  std::vector<kernels::buffer> memory;
  /// Whose memory some of the slots lie in.
  std::vector<std::shared_ptr<const expert_shard>> lenders;
  digest_table digests; ///< Of every tensor in here.
};

/// What the names of an expert's tensors begin with.
std::string expert_prefix(uint32_t layer, uint32_t expert);

/// In which type a product with `w` reads its rows: FP8 weights read FP8 rows
/// where activations are quantised, everything else BF16 or FP32.
kernels::dtype operand_type(const kernels::weight& w, precision activations);

/// Returns the bytes in the files of what an attention rank needs.
uint64_t attention_weight_bytes(const checkpoint& source,
                                const model_config& config);

/// The same of the experts that `load_expert_shard` takes.
uint64_t expert_weight_bytes(const checkpoint& source,
                             const model_config& config,
                             const std::vector<std::vector<uint32_t>>& experts);

/// Loads what a rank needs, for positions up to max_model_len. `stop` is heard
/// before each tensor; then the error is cancelled.
result<std::unique_ptr<attention_weights>>
load_attention_weights(const checkpoint& source, kernels::device& dev,
                       precision activations, uint32_t max_model_len,
                       const load_progress& progress = {},
                       std::stop_token stop = {});

/// Loads the logical experts `experts[moe_layer][slot]` of every MoE layer;
/// stops likewise.
result<std::unique_ptr<expert_shard>>
load_expert_shard(const checkpoint& source, kernels::device& dev,
                  precision activations,
                  const std::vector<std::vector<uint32_t>>& experts,
                  const load_progress& progress = {},
                  std::stop_token stop = {});

} // namespace troupe
