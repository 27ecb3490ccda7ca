#pragma once

/// Every operation in plain loops over host memory: the definition. Buffers
/// hold addresses (see host/host_memory.hpp), so that these functions can be
/// run on the memory of any device that computes on the host.

#include "kernels/ops.hpp"

namespace troupe::kernels::reference {

void run(const copy_in& op);
void run(const copy_out& op);
void run(const pack_rows& op);
void run(const gather_rows& op);
void run(const pack_weight& op);
void run(const embed& op);
void run(const rms_norm& op);
void run(const quantize& op);
void run(const linear& op);
void run(const grouped_linear& op);
void run(const append_latent& op);
void run(const rotate& op);
void run(const mla_attention& op);
void run(const mha_attention& op);
void run(const router& op);
void run(const swiglu& op);
void run(const expert_mlp& op);
void run(const combine& op);
void run(const sample& op);

/// What `sample` gives for a row of logits; how.row is not looked at.
int32_t choose(const float* logits, const draw& how);

/// A score of `sample` and whose it is.
struct scored {
  int32_t id = no_token;
  float score = 0;
};

/// The scores of such a row whose token is `id`: how.num_scores of them.
std::vector<scored> scores(const float* logits, const draw& how, int32_t id);

inline void run(const operation& op) {
  std::visit([](auto& what) { run(what); }, op);
}

} // namespace troupe::kernels::reference
