#pragma once

/// Squares of words, 16 bytes a side, turned in registers.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace troupe::kernels::cpu {

template <class Word>
struct square {
  static constexpr uint32_t size = 16 / sizeof(Word);
  using line [[gnu::vector_size(16)]] = Word;

  static line low(line a, line b) {
    if constexpr (size == 8)
      return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    else
      return __builtin_shufflevector(a, b, 0, 4, 1, 5);
  }

  static line high(line a, line b) {
    if constexpr (size == 8)
      return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    else
      return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  }

  /// Interleaving the halves of all lines, once for each bit of an index,
  /// swaps rows and columns.
  static void turn(line (&x)[size]) {
#pragma GCC unroll 8
    for (uint32_t bit = 1; bit < size; bit *= 2) {
      line from[size];
#pragma GCC unroll 8
      for (uint32_t i = 0; i < size; ++i)
        from[i] = x[i];
#pragma GCC unroll 8
      for (uint32_t i = 0; i < size / 2; ++i) {
        x[2 * i] = low(from[i], from[i + size / 2]);
        x[2 * i + 1] = high(from[i], from[i + size / 2]);
      }
    }
  }

  /// Column i of the square whose rows begin at row(0), row(1), ... goes to
  /// `out` + i * `step` bytes.
  template <class Row>
  static void turn_into(const Row& row, std::byte* out, uint64_t step) {
    line x[size];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < size; ++i)
      std::memcpy(&x[i], row(i), 16);
    turn(x);
#pragma GCC unroll 8
    for (uint32_t i = 0; i < size; ++i)
      std::memcpy(out + i * step, &x[i], 16);
  }
};

} // namespace troupe::kernels::cpu
