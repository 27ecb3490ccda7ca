#include "runtime/model/safetensors.hpp"

#include "kernels/host/floats.hpp"

#include <cstring>

namespace troupe {

namespace {

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
        out[i] = kernels::host::from_bf16(bits);
      }
      return out;
    case tensor_type::f8_e4m3:
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = kernels::host::from_e4m3(static_cast<uint8_t>(x.bytes[i]));
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
