#pragma once

/// Writes a GGUF file (version 3, little endian) from its beginning to its end:
/// keys, what tensors there are, and their bytes, each aligned to 32.
/// [ggml, docs/gguf.md]

#include "runtime/checkpoint/output_file.hpp"

#include <string>
#include <vector>

namespace troupe {

/// Types of elements, with ggml's numbers.
enum class ggml_type : uint32_t { f32 = 0, q8_0 = 8, bf16 = 30 };

/// Bytes of a row of `cols` elements; Q8_0 has blocks of 32 in 34 bytes.
uint64_t ggml_row_bytes(ggml_type type, uint64_t cols);

/// The keys of a file, in order.
class gguf_keys {
public:
  void number(std::string_view key, uint32_t value);
  void real(std::string_view key, float value);
  void flag(std::string_view key, bool value);
  void text(std::string_view key, std::string_view value);
  void texts(std::string_view key, const std::vector<std::string>& values);
  void numbers(std::string_view key, const std::vector<int32_t>& values);

  uint64_t count() const {
    return count_;
  }

  /// As the file holds them.
  const std::string& bytes() const {
    return bytes_;
  }

private:
  void begin(std::string_view key, uint32_t type);
  void begin_list(std::string_view key, uint32_t type, size_t count);

  uint64_t count_ = 0;
  std::string bytes_;
};

struct gguf_tensor {
  std::string name;
  std::vector<uint64_t> ne; ///< Dimensions, the innermost first.
  ggml_type type = ggml_type::f32;

  uint64_t num_bytes() const;
};

class gguf_writer {
public:
  /// Begins a file that replaces what is there when it is finished: with all
  /// but the tensors' bytes, which come in the order of `tensors`. What fails
  /// here is told by what comes next.
  gguf_writer(const std::filesystem::path& path, const gguf_keys& keys,
              std::vector<gguf_tensor> tensors);

  /// The next bytes of the tensor that is not complete; none of another's.
  /// Error: io.
  result<void> append(std::span<const std::byte> bytes);

  /// All tensors are complete by now. Error: io.
  result<void> finish();

  /// Bytes of all tensors.
  uint64_t total_bytes() const {
    return total_bytes_;
  }

private:
  output_file file_;
  std::vector<gguf_tensor> tensors_;
  uint64_t total_bytes_ = 0;
  size_t tensor_ = 0;         ///< The one that is not complete.
  uint64_t tensor_bytes_ = 0; ///< What there is of it.
};

} // namespace troupe
