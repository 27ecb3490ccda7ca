#include "kernels/cpu/product.hpp"
#include "kernels/cpu/squares.hpp"
#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"

#include <cstring>

namespace troupe::kernels::cpu {

namespace {

/// Values of a row that are converted at a time: a tile of them stays in the
/// first cache.
constexpr uint32_t chunk = 256;

void to_floats(const kernel_set& kernels, const row_source& from,
               const std::byte* row, uint32_t first, uint32_t count,
               float* out) {
  switch (from.x.values.type) {
    case dtype::f32: {
      std::memcpy(out, row + first * 4, count * 4);
      if (!from.round)
        return;
      uint16_t rounded[chunk];
      kernels.to_bf16(out, count, rounded);
      kernels.from_bf16(rounded, count, out);
      return;
    }
    case dtype::bf16:
      kernels.from_bf16(reinterpret_cast<const uint16_t*>(row) + first, count,
                        out);
      return;
    default:
      kernels.from_e4m3(reinterpret_cast<const uint8_t*>(row) + first, count,
                        out);
  }
}

void to_pairs(const kernel_set& kernels, const row_source& from,
              const std::byte* row, uint32_t first, uint32_t count,
              uint16_t* out) {
  if (from.x.values.type == dtype::bf16) {
    std::memcpy(out, row + first * 2, count * 2);
  } else if (from.x.values.type == dtype::f32) {
    kernels.to_bf16(reinterpret_cast<const float*>(row) + first, count, out);
  } else {
    float values[chunk];
    to_floats(kernels, from, row, first, count, values);
    kernels.to_bf16(values, count, out);
  }
}

/// out[i][r] = in[r][i] of words of 4 bytes; lines of `in` are one chunk of
/// floats long. Squares overlap where `rows` is no multiple of their size.
void interleave(const std::byte* in, uint32_t words, uint32_t rows,
                std::byte* out) {
  constexpr uint32_t word = 4;
  if (rows == 1) {
    std::memcpy(out, in, words * word);
    return;
  }
  using block = square<uint32_t>;
  auto step = uint64_t{rows} * word;
  auto whole = rows < block::size ? 0 : words / block::size * block::size;
  for (uint32_t i = 0; i < whole; i += block::size)
    for (uint32_t r = 0; r < rows; r += block::size) {
      auto first = std::min(r, rows - block::size);
      auto row = [&](uint32_t n) {
        return in + ((first + n) * chunk + i) * word;
      };
      block::turn_into(row, out + i * step + first * word, step);
    }
  for (uint32_t r = 0; r < rows; ++r)
    for (auto i = whole; i < words; ++i)
      std::memcpy(out + i * step + r * word, in + (r * chunk + i) * word, word);
}

} // namespace

left_rows::left_rows(context& ctx, dtype x, const packed_shape& shape,
                     uint32_t count)
  : pairs_(ctx.kernels.pairs && x != dtype::f32), depth_(shape.depth()),
    blocks_(shape.blocks()) {
  auto most = ctx.kernels.tile_rows;
  auto num_tiles = (count + most - 1) / most;
  tiles_.reserve(num_tiles);
  for (uint32_t i = 0; i < num_tiles; ++i) {
    auto first = uint32_t(uint64_t{count} * i / num_tiles);
    auto last = uint32_t(uint64_t{count} * (i + 1) / num_tiles);
    tiles_.push_back({first, last - first});
  }
  values_ = ctx.memory.take<std::byte>(count * row_bytes());
  if (blocks_ > 0)
    scales_ = ctx.memory.take<float>(uint64_t{count} * blocks_);
}

void left_rows::pack(const kernel_set& kernels, const row_source& from,
                     uint32_t i) {
  auto& t = tiles_[i];
  for (uint32_t k = 0; k < depth_; k += chunk)
    pack_columns(kernels, from, t, k, std::min(chunk, depth_ - k));
  for (uint32_t r = 0; r < t.rows; ++r)
    pack_scales(from, t, r);
}

void left_rows::pack_columns(const kernel_set& kernels, const row_source& from,
                             const tile& t, uint32_t first, uint32_t width) {
  alignas(64) std::byte converted[max_tile_rows * chunk * 4];
  auto cols = from.x.values.cols;
  auto count = first < cols ? std::min(width, cols - first) : 0;
  uint32_t size = pairs_ ? 2 : 4;
  for (uint32_t r = 0; r < t.rows; ++r) {
    auto row = host::row<const std::byte>(from.x.values, from.row(t.first + r));
    auto line = converted + r * chunk * 4;
    if (pairs_)
      to_pairs(kernels, from, row, first, count,
               reinterpret_cast<uint16_t*>(line));
    else
      to_floats(kernels, from, row, first, count,
                reinterpret_cast<float*>(line));
    std::memset(line + count * size, 0, (width - count) * size);
  }
  auto out = values_ + t.first * row_bytes() + uint64_t{first} * size * t.rows;
  interleave(converted, width * size / 4, t.rows, out);
}

void left_rows::pack_scales(const row_source& from, const tile& t, uint32_t r) {
  if (!scales_)
    return;
  auto out = scales_ + uint64_t{t.first} * blocks_ + r;
  auto has_own = from.x.values.type == dtype::f8_e4m3;
  for (uint32_t b = 0; b < blocks_; ++b)
    out[uint64_t{b} * t.rows]
      = has_own ? host::row<float>(from.x.scales, from.row(t.first + r))[b]
                : 1.0f;
}

void pack_rows_of(context& ctx, left_rows& left, const row_source& from) {
  auto num_tiles = uint32_t(left.tiles().size());
  if (num_tiles == 0)
    return;
  auto rows_each = from.count / num_tiles + 1;
  auto ns = uint64_t{from.x.values.cols} * rows_each / 2;
  ctx.for_each(num_tiles, ns,
               [&](uint32_t i) { left.pack(ctx.kernels, from, i); });
}

} // namespace troupe::kernels::cpu
