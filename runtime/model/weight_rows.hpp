#pragma once

/// A matrix of a checkpoint, read by rows as FP32 whatever it is stored as.

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/config.hpp"

#include <array>

namespace troupe {

class weight_rows {
public:
  /// Checks shape, type and scales; `source` outlives this. One row: a vector
  /// of the shape [cols] will do. Error: invalid_input, naming the tensor.
  static result<weight_rows>
  open(const checkpoint& source, const model_config& config,
       const std::string& name, uint64_t rows, uint64_t cols);

  /// Writes rows [first, first + count) to `out`: [count, cols]. FP8 codes are
  /// multiplied by their block's scale in FP32. Errors: io; invalid_input if
  /// an element is no finite number.
  result<void> read(uint64_t first, uint64_t count, float* out) const;

private:
  weight_rows() = default;

  void read_codes(const std::byte* codes, uint64_t row, float* out) const;

  const checkpoint* source_ = nullptr;
  std::string name_;
  const stored_tensor* place_ = nullptr;
  uint64_t cols_ = 0;
  std::vector<float> scales_;       ///< Of FP8: [rows / 128, cols / 128], up.
  std::array<float, 256> values_{}; ///< Of FP8: by code.
};

} // namespace troupe
