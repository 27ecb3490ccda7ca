#include "runtime/model/config.hpp"

namespace troupe {

result<precision> parse_precision(std::string_view text) {
  for (auto x : {precision::fp8, precision::bf16, precision::fp32})
    if (text == to_string(x))
      return x;
  return failure{errc::invalid_input,
                 "activations must be fp8, bf16 or fp32, not \""
                   + std::string{text} + "\""};
}

std::string_view to_string(precision x) {
  switch (x) {
    case precision::fp8:
      return "fp8";
    case precision::bf16:
      return "bf16";
    default:
      return "fp32";
  }
}

kernels::row_layout model_config::dispatch_layout(precision activations) const {
  if (activations == precision::fp32)
    return {kernels::dtype::f32, hidden_size};
  if (activations == precision::fp8 && fp8)
    return {kernels::dtype::f8_e4m3, hidden_size};
  return {kernels::dtype::bf16, hidden_size};
}

kernels::dtype model_config::combine_type(precision activations) const {
  return activations == precision::fp32 ? kernels::dtype::f32
                                        : kernels::dtype::bf16;
}

} // namespace troupe
