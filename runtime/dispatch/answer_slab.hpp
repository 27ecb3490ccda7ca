#pragma once

/// The body of a combine frame: answers of the workers of one node to one
/// rank. Layout and meaning: schemas/wire.capnp. Reading and writing it takes
/// no memory.

#include "runtime/dispatch/placement.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <span>

namespace troupe {

/// Answers of one worker.
struct answer_section {
  worker_id worker = 0;
  uint64_t first = 0; ///< Number of the first one, see DispatchSlab.
  uint32_t count = 0; ///< At least 1.

  friend bool operator==(const answer_section&, const answer_section&)
    = default;
};

/// Bytes before the rows of so many sections; a multiple of 64.
constexpr uint64_t answer_head(uint64_t num_sections) {
  return (8 + 16 * num_sections + 63) / 64 * 64;
}

/// Writes what comes before the rows: answer_head(sections.size()) bytes.
void write_answer_head(std::byte* to, std::span<const answer_section> sections);

/// Answers as their rank sees them; a view of bytes.
class answer_view {
public:
  uint32_t num_sections() const {
    return num_sections_;
  }

  /// 0 <= i < num_sections()
  answer_section section(uint32_t i) const;

  /// The rows of all sections, one after the other: [count, row_bytes] each.
  std::span<const std::byte> rows() const {
    return bytes_.subspan(answer_head(num_sections_));
  }

private:
  friend result<answer_view> read_answers(std::span<const std::byte> bytes,
                                          uint64_t row_bytes);

  std::span<const std::byte> bytes_;
  uint32_t num_sections_ = 0;
};

/// Checks that the sections ascend by worker, none is empty and their rows are
/// there, no more and no less. Error: invalid_input.
result<answer_view> read_answers(std::span<const std::byte> bytes,
                                 uint64_t row_bytes);

} // namespace troupe
