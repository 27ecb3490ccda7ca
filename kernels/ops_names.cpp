#include "kernels/ops.hpp"

#include <array>

namespace troupe::kernels {

std::string_view name_of(const operation& op) {
  constexpr std::array<std::string_view, 19> names
    = {"copy_in",       "copy_out",       "pack_rows",     "gather_rows",
       "pack_weight",   "embed",          "rms_norm",      "quantize",
       "linear",        "grouped_linear", "append_latent", "rotate",
       "mla_attention", "mha_attention",  "router",        "swiglu",
       "expert_mlp",    "combine",        "sample"};
  static_assert(names.size() == std::variant_size_v<operation>);
  return names[op.index()];
}

} // namespace troupe::kernels
