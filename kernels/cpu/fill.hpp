#pragma once

/// The parts that make a kernel_set: one function per file and instruction
/// set. Highway compiles these files several times, each time in a namespace
/// of its own; dispatch.cpp chooses.

#include "kernels/cpu/kernel_set.hpp"

#define TROUPE_DECLARE_FILL(instruction_set)                                   \
  namespace troupe::kernels::cpu::instruction_set {                            \
  void fill_tiles(kernel_set& set);                                            \
  void fill_rows(kernel_set& set);                                             \
  void fill_attention(kernel_set& set);                                        \
  }

namespace troupe::kernels::cpu {

/// Replaces products of bf16 by dot products of pairs (dot_kernels.cpp).
void fill_dot(kernel_set& set);

/// Returns whether this machine has what fill_dot needs.
bool has_dot();

} // namespace troupe::kernels::cpu
