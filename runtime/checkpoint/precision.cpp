#include "runtime/checkpoint/precision.hpp"

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

} // namespace troupe
