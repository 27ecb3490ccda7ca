#pragma once

/// The parts that make a kernel_set beside those that Highway compiles several
/// times, each time in a namespace of its own; dispatch.cpp declares these and
/// chooses.

#include "kernels/cpu/kernel_set.hpp"

namespace troupe::kernels::cpu {

/// Replaces conversion of FP8 and products of few rows (f8_kernels.cpp). The
/// bits stay, so this belongs to no target of its own.
void fill_f8(kernel_set& set);

/// Returns whether this machine has what fill_f8 needs.
bool has_f8();

/// Replaces products of bf16 by dot products of pairs (dot_kernels.cpp).
void fill_dot(kernel_set& set);

/// Adds scores of bf16 by dot products (dot_attention_kernels.cpp).
void fill_dot_attention(kernel_set& set);

/// Returns whether this machine has what fill_dot and fill_dot_attention need.
bool has_dot();

/// sums[i] = the dot product of pair i added to it, i < 16. Where has_dot().
void add_pairs(const uint32_t* a, const uint32_t* b, float* sums);

} // namespace troupe::kernels::cpu
