#pragma once

/// Numbers for models that nobody trained: what they cost to run is what a
/// trained model of the shape costs. A tensor's numbers follow from its
/// published name and the seed alone, and any part of it can be had at any
/// time:
///
///     h      = FNV-1a-64(name) ^ seed * 0x9e3779b97f4a7c15
///     u64[i] = output i + 1 of splitmix64 from the state h
///     lane   = 16 bits of u64[e / 4], low first, for element e, row-major
///     code   = e4m3(64 * Phi^-1((lane + 0.5) / 65536)), to nearest even
///     scale  = 2^(exponent - bit) for a block b of 128 x 128; bit = the lowest
///              of splitmix64's first output from the state h ^ (0xb10c0000 +
///              b)
///
/// so every weight lies on the e4m3 grid times a power of two: FP8 with its
/// scales and BF16 hold the same values, and since scales differ from block to
/// block, a wrong block index shows. [Steele et al., splitmix64; Wichura,
/// AS241]

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// How numbers become elements.
enum class random_kind : uint8_t {
  codes,  ///< F8_E4M3: the code.
  scales, ///< F32, one for each block of `codes`.
  values, ///< BF16: code times its block's scale.
  table,  ///< BF16: code times 2^exponent everywhere.
  norm,   ///< BF16: 0.875 + (lane >> 11) / 128.
  bias,   ///< F32: code times 2^-9, a deviation of 0.125.
};

struct random_tensor {
  std::string name; ///< Of the weight; scales have their weight's.
  random_kind kind = random_kind::codes;
  uint64_t rows = 1; ///< Of the weight, where `kind` is scales.
  uint64_t cols = 1;
  int exponent = 0;
};

/// Bytes of one element.
uint32_t element_bytes(random_kind kind);

/// The exponent at which codes have the deviation `gain` / sqrt(num_inputs):
/// log2 of that, less 6, to nearest even. `gain` is 1 or, where `doubled`, 2.
int random_exponent(uint64_t num_inputs, bool doubled = false);

/// Returns the inverse of the normal distribution's integral, to about 16
/// digits. 0 < p < 1.
double inverse_normal(double p);

/// Immutable after construction.
class random_weights {
public:
  explicit random_weights(uint64_t seed);

  /// Writes the elements from `first` on (a multiple of 4) in little endian.
  /// `out` holds whole elements, no more than there are.
  void fill(const random_tensor& x, uint64_t first,
            std::span<std::byte> out) const;

  /// The code of every lane: [65536].
  std::span<const uint8_t> codes() const {
    return codes_;
  }

private:
  uint64_t state_of(std::string_view name) const;

  uint64_t seed_;
  std::vector<uint8_t> codes_;
};

} // namespace troupe
