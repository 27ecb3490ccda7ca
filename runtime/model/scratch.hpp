#pragma once

/// Memory that a stage claims once, for its largest step, and gives back as a
/// whole.

#include "kernels/device.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/error.hpp"

#include <array>
#include <vector>

namespace troupe {

class scratch {
public:
  /// Without a device nothing is claimed, only counted.
  explicit scratch(kernels::device* dev) : dev_(dev) {
  }

  ~scratch();
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;

  /// Claims a matrix; empty if it has no elements or there is no memory.
  kernels::tensor claim(kernels::dtype type, uint32_t rows, uint32_t cols);

  /// Claims rows of an operand.
  kernels::activation claim_operand(kernels::dtype type, uint32_t rows,
                                    uint32_t cols);

  /// Claims host memory for copies.
  kernels::host_ptr claim_host(uint64_t bytes);

  /// Of all claims.
  uint64_t num_bytes() const {
    return num_bytes_;
  }

  /// Error: out_of_memory, if any claim has failed.
  result<void> check() const;

private:
  kernels::device* dev_;
  uint64_t num_bytes_ = 0;
  std::vector<kernels::buffer> memory_;
  uint64_t missing_bytes_ = 0;
};

/// Rows in FP32, and in the formats in which products read them. A format is
/// made when it is asked for first.
class operand_set {
public:
  operand_set() = default;

  /// Claims what products of a model in this precision may ask for.
  operand_set(scratch& mem, const model_config& config, precision activations,
              uint32_t max_rows, uint32_t max_cols);

  /// Begins anew with rows [rows, cols], whose values `exact` will take.
  void reset(uint32_t rows, uint32_t cols);

  /// The rows in FP32.
  kernels::tensor exact() const;

  /// Where rows in `type` belong, for operations that write them.
  kernels::activation room(kernels::dtype type) const;

  /// Says that `room(type)` has been written.
  void mark(kernels::dtype type);

  /// The rows as `type`, quantised now if nobody has done so.
  kernels::activation as(kernels::dtype type, kernels::stream& stream);

private:
  kernels::tensor exact_;
  kernels::activation bf16_;
  kernels::activation f8_;
  uint32_t rows_ = 0;
  uint32_t cols_ = 0;
  std::array<bool, 4> has_{}; ///< By dtype.
};

} // namespace troupe
