#pragma once

/// Tensors of a checkpoint on their way to a device, each checked for its
/// shape, its type and for numbers that are none. The first failure is kept,
/// and everything after it comes out empty: so loading reads as a list of what
/// there is to load.

#include "runtime/model/absorbed.hpp"
#include "runtime/model/load_window.hpp"
#include "runtime/model/weights.hpp"

#include <optional>
#include <string>

namespace troupe {

class weight_loader {
public:
  /// All arguments outlive this. Memory that is claimed goes to `memory`.
  weight_loader(const checkpoint& source, const model_config& config,
                kernels::device& dev, precision activations,
                std::vector<kernels::buffer>& memory,
                const load_progress& progress, uint64_t total_bytes,
                std::stop_token stop = {});

  /// A vector as FP32: [1, cols].
  kernels::tensor vector(const std::string& name, uint32_t cols);

  /// A matrix of BF16 or FP32 as it is: [rows, cols].
  kernels::tensor table(const std::string& name, uint32_t rows, uint32_t cols);

  /// FP32 values: [rows, cols].
  kernels::tensor floats(std::vector<float> values, uint32_t rows,
                         uint32_t cols);

  /// A matrix of BF16, or FP8 with its scales: [rows, cols].
  kernels::weight linear(const std::string& name, uint32_t rows, uint32_t cols);

  /// A matrix that sees FP32 inputs in every mode: BF16 or FP32.
  kernels::weight exact_linear(const std::string& name, uint32_t rows,
                               uint32_t cols);

  /// `prefix` + {gate,up,down}_proj.weight, all of one type.
  kernels::expert_weights mlp(const std::string& prefix, uint32_t inner,
                              uint32_t hidden);

  /// The two halves of kv_b_proj, head by head: k transposed.
  void absorbed(const std::string& name, kernels::weight& k_b,
                kernels::weight& v_b);

  /// Says that `name` is wrong.
  void refuse(const std::string& name, const std::string& why);

  /// Reports the progress. Returns false if something has failed.
  bool go_on();

  /// Waits until everything is packed, then does likewise.
  bool finish();

  const std::optional<failure>& trouble() const {
    return trouble_;
  }

  /// Of every tensor that was read to its end.
  const digest_table& digests() const {
    return digests_;
  }

private:
  const stored_tensor* find(const std::string& name,
                            const std::vector<uint64_t>& shape);
  void note(failure why);
  std::optional<std::vector<float>> scales_of(const std::string& name,
                                              uint32_t rows, uint32_t cols);
  bool fill(const std::string& name, const stored_tensor& x, uint64_t first,
            std::span<std::byte> out, bool must_be_finite);
  std::optional<std::vector<float>> read_floats(const std::string& name,
                                                const stored_tensor& x);
  load_window::part read(const std::string& name, const stored_tensor& x,
                         uint64_t first, uint64_t num_bytes);
  kernels::buffer claim(uint64_t bytes);
  kernels::weight pack(const std::string& name, const stored_tensor& x,
                       kernels::dtype type, uint32_t rows, uint32_t cols,
                       std::vector<float> scales = {});
  template <class T>
  void pack_halves(absorbed_halves<T> halves, const absorbed_shape& shape,
                   kernels::weight& k_b, kernels::weight& v_b);
  kernels::weight claim_weight(kernels::dtype type, uint32_t rows,
                               uint32_t cols, uint32_t groups);

  const checkpoint& source_;
  const model_config& config_;
  kernels::device& dev_;
  precision activations_;
  std::vector<kernels::buffer>& memory_;
  const load_progress& progress_;
  uint64_t total_bytes_;
  std::stop_token stop_;
  uint64_t done_bytes_ = 0;
  uint64_t shown_bytes_ = 0; ///< As progress, which never goes back.
  kernels::buffer chunk_;    ///< What is left of the last one.
  std::optional<failure> trouble_;
  digest_stream digest_; ///< Of the tensor that is being read.
  digest_table digests_;
  load_window window_;
};

} // namespace troupe
