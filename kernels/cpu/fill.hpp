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

/// Returns whether this machine has what fill_dot needs.
bool has_dot();

} // namespace troupe::kernels::cpu
