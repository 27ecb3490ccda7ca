#pragma once

/// A tensor as files hold it, and its values as the engine wants them.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Element types that files may hold; the engine computes with few of them.
enum class tensor_type : uint8_t {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

/// Bytes of one element.
uint32_t size_of(tensor_type type);

/// The type as files call it, e.g. "F8_E4M3".
std::string_view to_string(tensor_type type);

/// The type of that name, if there is one.
std::optional<tensor_type> parse_tensor_type(std::string_view name);

/// A tensor in somebody else's memory, which need not be aligned.
struct tensor_view {
  tensor_type dtype = tensor_type::f32;
  std::vector<uint64_t> shape;      ///< Empty: one element.
  std::span<const std::byte> bytes; ///< Row-major.

  uint64_t num_elements() const {
    return bytes.size() / size_of(dtype);
  }
};

/// Returns the shape as people write it, e.g. "[7, 128]".
std::string shape_text(std::span<const uint64_t> shape);

/// Returns F32, BF16 or F8_E4M3 values as FP32. Error: invalid_input for other
/// types.
result<std::vector<float>> to_floats(std::string_view name,
                                     const tensor_view& x);

/// Returns I32 values. Error: invalid_input for other types.
result<std::vector<int32_t>> to_ints(std::string_view name,
                                     const tensor_view& x);

} // namespace troupe
