#pragma once

/// Whether BF16 dot products of this machine may be used, and whether that
/// pays: the arithmetic is compared with its definition and the speed is
/// measured, whoever made the CPU.

#include <cstdint>
#include <span>

namespace troupe::kernels::cpu {

/// Returns whether the machine has dot products and each of some thousand
/// gives the bits of host::add_pair. Looks once.
bool has_defined_dot();

/// Returns whether dot products do clearly more than FP32 multiply-adds.
/// Measures once, for less than a millisecond: the answer is one for all
/// devices of a process.
bool has_fast_dot();

/// What bursts of equally many FLOPs took, in turn, in any unit.
struct burst_times {
  std::span<const uint64_t> fma;
  std::span<const uint64_t> dot;
};

/// How many times as much the quickest burst of dot products does. The
/// quickest: neighbours and interrupts only add.
double dot_gain(const burst_times& times);

/// Machines are far from here on either side: two (AMD, Zen 4 and 5: one dot
/// product in the time of one multiply-add) or a half (Intel with AMX), so
/// that the choice is the same whenever it is measured.
constexpr double enough_gain = 1.4;

} // namespace troupe::kernels::cpu
