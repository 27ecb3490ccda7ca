#include "runtime/checkpoint/tensor_view.hpp"

#include "kernels/host/floats.hpp"

#include <array>
#include <cstring>

namespace troupe {

namespace {

struct type_row {
  std::string_view name;
  uint32_t size;
};

/// In the order of tensor_type.
constexpr std::array<type_row, 15> types = {{{"BOOL", 1},
                                             {"U8", 1},
                                             {"I8", 1},
                                             {"F8_E4M3", 1},
                                             {"F8_E5M2", 1},
                                             {"U16", 2},
                                             {"I16", 2},
                                             {"F16", 2},
                                             {"BF16", 2},
                                             {"U32", 4},
                                             {"I32", 4},
                                             {"F32", 4},
                                             {"U64", 8},
                                             {"I64", 8},
                                             {"F64", 8}}};

failure wrong_type(std::string_view name, const tensor_view& x,
                   const char* wanted) {
  return {errc::invalid_input, "tensor " + std::string{name} + " is "
                                 + std::string{to_string(x.dtype)}
                                 + ", expected " + wanted};
}

} // namespace

std::optional<tensor_type> parse_tensor_type(std::string_view name) {
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i].name == name)
      return static_cast<tensor_type>(i);
  return std::nullopt;
}

uint32_t size_of(tensor_type type) {
  return types[static_cast<size_t>(type)].size;
}

std::string_view to_string(tensor_type type) {
  return types[static_cast<size_t>(type)].name;
}

std::string shape_text(std::span<const uint64_t> shape) {
  std::string out = "[";
  for (auto dim : shape)
    out += (out.size() > 1 ? ", " : "") + std::to_string(dim);
  return out + "]";
}

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
