#pragma once

/// What another engine has computed with a model: the file that `model verify`
/// holds an engine against. T tokens, V vocabulary, L layers of which M have
/// experts, k experts a token, H hidden size, G greedy tokens.

#include "runtime/checkpoint/config.hpp"

#include <filesystem>
#include <vector>

namespace troupe {

struct golden_prompt {
  std::vector<int32_t> tokens;     ///< [T]
  std::vector<float> logits;       ///< [T, V]
  std::vector<float> hidden;       ///< [L + 2, T, H]; last: after final norm
  std::vector<int32_t> experts;    ///< [M, T, k] best first
  std::vector<float> weights;      ///< [M, T, k]
  std::vector<float> margin;       ///< [M, T] how clear the choice was
  std::vector<float> quant_margin; ///< [L, T] distance to another code; or none
  std::vector<int32_t> greedy;     ///< [G] past the end token if need be
  std::vector<float> greedy_gap;   ///< [G] best logit less the second
  std::vector<float> greedy_margin; ///< [G]
};

struct golden_file {
  std::vector<golden_prompt> prompts;
};

/// Reads tensors p0.tokens, p0.logits, ... and checks them against `config`.
/// Error: invalid_input that names the tensor.
result<golden_file> read_golden(const std::filesystem::path& path,
                                const model_config& config);

} // namespace troupe
