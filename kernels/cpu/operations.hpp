#pragma once

/// Every operation on one CPU device. Shapes have been checked.

#include "kernels/cpu/context.hpp"
#include "kernels/ops.hpp"

namespace troupe::kernels::cpu {

// rows.cpp
void run(context& ctx, const copy_in& op);
void run(context& ctx, const copy_out& op);
void run(context& ctx, const pack_rows& op);
void run(context& ctx, const gather_rows& op);
void run(context& ctx, const embed& op);
void run(context& ctx, const rms_norm& op);
void run(context& ctx, const quantize& op);
void run(context& ctx, const swiglu& op);
void run(context& ctx, const combine& op);

// dense.cpp
void run(context& ctx, const pack_weight& op);
void run(context& ctx, const linear& op);
void run(context& ctx, const grouped_linear& op);

// latent.cpp
void run(context& ctx, const append_latent& op);
void run(context& ctx, const rotate& op);

// mla_attention.cpp, mha_attention.cpp, router.cpp, experts.cpp
void run(context& ctx, const mla_attention& op);
void run(context& ctx, const mha_attention& op);
void run(context& ctx, const router& op);
void run(context& ctx, const expert_mlp& op);

// sample.cpp
void run(context& ctx, const sample& op);

/// Writes a row as an operand: f32, bf16, or f8_e4m3 with its scales.
void store_operand(const kernel_set& kernels, const activation& out,
                   uint64_t row, const float* x);

} // namespace troupe::kernels::cpu
