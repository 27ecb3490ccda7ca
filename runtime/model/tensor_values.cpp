#include "runtime/model/safetensors.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace troupe {

namespace {

float from_e4m3(uint8_t code) {
  auto exponent = (code >> 3) & 15;
  auto mantissa = static_cast<float>(code & 7);
  auto x = exponent == 0 ? std::ldexp(mantissa / 8, -6)
                         : std::ldexp(1 + mantissa / 8, exponent - 7);
  if ((code & 127) == 127)
    x = std::numeric_limits<float>::quiet_NaN();
  return code & 128 ? -x : x;
}

float from_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

failure wrong_type(std::string_view name, const tensor_view& x,
                   const char* wanted) {
  return {errc::invalid_input, "tensor " + std::string{name} + " is "
                                 + std::string{to_string(x.dtype)}
                                 + ", expected " + wanted};
}

} // namespace

result<std::vector<float>> to_floats(std::string_view name,
                                     const tensor_view& x) {
  std::vector<float> out(x.num_elements());
  switch (x.dtype) {
    case tensor_type::f32:
      if (!out.empty())
        std::memcpy(out.data(), x.bytes.data(), x.bytes.size());
      return out;
    case tensor_type::bf16:
      for (size_t i = 0; i < out.size(); ++i) {
        uint16_t bits;
        std::memcpy(&bits, x.bytes.data() + 2 * i, 2);
        out[i] = from_bf16(bits);
      }
      return out;
    case tensor_type::f8_e4m3:
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = from_e4m3(static_cast<uint8_t>(x.bytes[i]));
      return out;
    default:
      return wrong_type(name, x, "F32, BF16 or F8_E4M3");
  }
}

result<std::vector<int32_t>> to_ints(std::string_view name,
                                     const tensor_view& x) {
  if (x.dtype != tensor_type::i32)
    return wrong_type(name, x, "I32");
  std::vector<int32_t> out(x.num_elements());
  if (!out.empty())
    std::memcpy(out.data(), x.bytes.data(), x.bytes.size());
  return out;
}

} // namespace troupe
