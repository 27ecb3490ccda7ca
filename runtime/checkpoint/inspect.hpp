#pragma once

/// `troupe model inspect`: what a model directory holds, from its headers
/// alone.

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/config.hpp"

#include <array>
#include <string>

namespace troupe {

/// What a tensor is there for.
enum class tensor_kind : uint8_t {
  attention, ///< With norms and the router.
  dense_mlp,
  shared_experts,
  routed_experts,
  embedding,
  head,
  mtp, ///< Layers from num_hidden_layers on; not run.
};

constexpr size_t num_tensor_kinds = 7;

std::string_view to_string(tensor_kind kind);

/// Returns the kind of a tensor by its published name.
tensor_kind kind_of(std::string_view name, const model_config& config);

struct model_summary {
  struct amount {
    uint64_t parameters = 0; ///< Scales of FP8 blocks do not count.
    uint64_t bytes = 0;      ///< They do here.
  };

  std::array<amount, num_tensor_kinds> kinds; ///< By tensor_kind.
  uint64_t parameters = 0;                    ///< All but MTP's.
  uint64_t active_parameters = 0; ///< Read per token: not the embedding table.
  uint64_t bytes = 0;             ///< All but MTP's.
  std::vector<uint32_t> expert_parallel_sizes; ///< All that divide evenly.
  uint64_t kv_bytes_per_token = 0;             ///< BF16, all layers.
};

model_summary summarize(const checkpoint& source, const model_config& config);

/// Returns the summary as lines for people. Errors: what reading may say.
result<std::string> inspect_model(const std::filesystem::path& model_dir);

} // namespace troupe
