#include "kernels/cpu/packing.hpp"

#include "kernels/cpu/squares.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe::kernels::cpu {

namespace {

// A panel is the transpose of its 32 rows, in words: pairs of codes (2 bytes),
// pairs of bf16 or single floats (4 bytes).

constexpr uint32_t line_bytes = 64;

/// Bytes of a word.
uint32_t word_bytes(dtype type) {
  return type == dtype::f8_e4m3 ? 2 : 4;
}

/// Where the word of row `n` lies in a step of 32 words.
uint32_t place_of(dtype type, uint32_t n) {
  return type == dtype::f8_e4m3 ? f8_position(n, 0) / 2 : n;
}

/// The definition: words from `first` on of rows [0, count), one by one. The
/// last word of a row may be half a one.
void pack_words(const packed_shape& shape, const std::byte* src, uint32_t count,
                uint64_t first, std::byte* dst) {
  auto width = word_bytes(shape.type);
  auto row_bytes = uint64_t{shape.cols} * size_of(shape.type);
  for (uint32_t n = 0; n < count; ++n) {
    auto row = src + n * row_bytes;
    auto to = dst + place_of(shape.type, n) * width;
    for (auto k = first; k * width < row_bytes; ++k)
      std::memcpy(to + k * panel_rows * width, row + k * width,
                  std::min<uint64_t>(width, row_bytes - k * width));
  }
}

/// All whole squares of a full panel; returns how many words of each row that
/// were. A line of the source is used up before the next is fetched: the lines
/// of 32 rows may share one set of a cache.
template <class Word>
uint64_t
pack_squares(const packed_shape& shape, const std::byte* src, std::byte* dst) {
  using block = square<Word>;
  constexpr auto groups = panel_rows / block::size;
  constexpr auto step = panel_rows * sizeof(Word);
  auto row_bytes = uint64_t{shape.cols} * size_of(shape.type);
  std::array<std::array<const std::byte*, block::size>, groups> rows;
  for (uint32_t n = 0; n < panel_rows; ++n) {
    auto place = place_of(shape.type, n);
    rows[place / block::size][place % block::size] = src + n * row_bytes;
  }
  auto whole = row_bytes / 16 * 16;
  for (uint64_t line = 0; line < whole; line += line_bytes)
    for (uint32_t g = 0; g < groups; ++g)
      for (auto at = line; at < std::min(line + line_bytes, whole); at += 16)
        block::turn_into([&](uint32_t i) { return rows[g][i] + at; },
                         dst + at * panel_rows + g * 16, step);
  return whole / sizeof(Word);
}

} // namespace

void pack_panel(const kernel_set& kernels, const pack_weight& op,
                uint32_t group, uint32_t panel) {
  packed_shape shape(op.dst);
  auto dst = host::address_of(op.dst.data) + group * shape.matrix_bytes()
             + panel * shape.panel_bytes();
  auto first = panel * panel_rows;
  auto count = std::min(panel_rows, shape.rows - first);
  auto row = uint64_t{group} * shape.rows + first;
  auto src = op.src + row * shape.cols * size_of(shape.type);
  uint64_t words = 0;
  if (count == panel_rows)
    words = shape.type == dtype::f8_e4m3
              ? pack_squares<uint16_t>(shape, src, dst)
              : pack_squares<uint32_t>(shape, src, dst);
  auto done = words * panel_rows * word_bytes(shape.type);
  std::memset(dst + done, 0, shape.panel_bytes() - done);
  pack_words(shape, src, count, words, dst);
  if (shape.blocks() == 0)
    return;
  auto tile = uint64_t{group} * num_scale_blocks(shape.rows)
              + first / scale_block;
  std::memcpy(dst + shape.values_bytes(), op.scales + tile * shape.blocks(),
              shape.blocks() * sizeof(float));
  if (kernels.mark_f8)
    kernels.mark_f8(dst, shape.blocks(),
                    reinterpret_cast<uint64_t*>(dst + shape.marks_offset()));
}

} // namespace troupe::kernels::cpu
