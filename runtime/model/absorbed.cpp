#include "runtime/model/absorbed.hpp"

#include "kernels/host/floats.hpp"
#include "kernels/tensor.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe {

namespace {

using kernels::num_scale_blocks;
using kernels::scale_block;

template <class T>
T round_to(float x) {
  if constexpr (sizeof(T) == 2)
    return kernels::host::to_bf16(x);
  else
    return x;
}

/// Reads row after row of a matrix. Codes are looked up: what each of 256 is
/// worth in a tile is worked out once.
template <class T>
class row_reader {
public:
  row_reader(const tensor_view& w, std::span<const float> scales, uint32_t cols)
    : w_(w), scales_(scales), cols_(cols) {
  }

  void read(uint64_t row, T* out) {
    if (w_.dtype == tensor_type::bf16)
      return read_bf16(w_.bytes.data() + row * cols_ * 2, out);
    CHECK(w_.dtype == tensor_type::f8_e4m3);
    if (tiles_.empty() || row / scale_block != tile_row_)
      make_tiles(row / scale_block);
    auto codes = w_.bytes.data() + row * cols_;
    for (uint32_t j = 0; j < cols_; ++j)
      out[j] = tiles_[j / scale_block][static_cast<uint8_t>(codes[j])];
  }

private:
  void read_bf16(const std::byte* src, T* out) const {
    for (uint32_t j = 0; j < cols_; ++j) {
      uint16_t bits;
      std::memcpy(&bits, src + 2 * j, 2);
      out[j] = round_to<T>(kernels::host::from_bf16(bits));
    }
  }

  void make_tiles(uint64_t tile_row) {
    tile_row_ = tile_row;
    tiles_.resize(num_scale_blocks(cols_));
    auto scales = scales_.subspan(tile_row * tiles_.size(), tiles_.size());
    for (size_t i = 0; i < tiles_.size(); ++i)
      for (uint32_t code = 0; code < 256; ++code) {
        auto value = kernels::host::from_e4m3(static_cast<uint8_t>(code));
        tiles_[i][code] = round_to<T>(value * scales[i]);
      }
  }

  const tensor_view& w_;
  std::span<const float> scales_;
  uint32_t cols_;
  uint64_t tile_row_ = 0;
  std::vector<std::array<T, 256>> tiles_; ///< Of a row of tiles.
};

/// dst [cols, rows] = src [rows, cols], in squares that fit into a cache.
template <class T>
void transpose(const T* src, uint32_t rows, uint32_t cols, T* dst) {
  constexpr uint32_t side = 32;
  for (uint32_t i = 0; i < rows; i += side)
    for (uint32_t j = 0; j < cols; j += side)
      for (auto k = j; k < std::min(j + side, cols); ++k)
        for (auto n = i; n < std::min(i + side, rows); ++n)
          dst[uint64_t{k} * rows + n] = src[uint64_t{n} * cols + k];
}

} // namespace

template <class T>
absorbed_halves<T> absorb(const tensor_view& w, std::span<const float> scales,
                          const absorbed_shape& shape) {
  auto [heads, latent, nope, v_head] = shape;
  absorbed_halves<T> out;
  out.k.resize(uint64_t{heads} * latent * nope);
  out.v.resize(uint64_t{heads} * v_head * latent);
  std::vector<T> keys(uint64_t{nope} * latent);
  row_reader<T> rows{w, scales, latent};
  uint64_t row = 0;
  auto v = out.v.data();
  for (uint64_t h = 0; h < heads; ++h) {
    for (uint64_t i = 0; i < nope; ++i)
      rows.read(row++, keys.data() + i * latent);
    transpose(keys.data(), nope, latent, out.k.data() + h * latent * nope);
    for (uint64_t i = 0; i < v_head; ++i, v += latent)
      rows.read(row++, v);
  }
  return out;
}

template absorbed_halves<float>
absorb(const tensor_view&, std::span<const float>, const absorbed_shape&);
template absorbed_halves<uint16_t>
absorb(const tensor_view&, std::span<const float>, const absorbed_shape&);

} // namespace troupe
