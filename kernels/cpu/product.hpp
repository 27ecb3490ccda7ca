#pragma once

/// Products of rows and packed weights. Rows are first cut into tiles of up to
/// 12 (`left_rows`), in the format that the inner loops read; then panels of
/// all products of an operation are computed in one parallel region.

#include "kernels/cpu/context.hpp"
#include "kernels/cpu/packing.hpp"

#include <span>

namespace troupe::kernels::cpu {

/// Rows in memory, maybe picked by index.
struct row_source {
  activation x;
  const uint32_t* index = nullptr; ///< Null: row i is row i.
  uint32_t count = 0;
  bool round = false; ///< f32 values to bf16 first.

  uint64_t row(uint32_t i) const {
    return index ? index[i] : i;
  }
};

/// The left side of a product. Tiles are as equal as can be, so that none has
/// few rows unless all have.
class left_rows {
public:
  struct tile {
    uint32_t first = 0;
    uint32_t rows = 0;
  };

  left_rows() = default;

  /// Claims memory for `count` rows of type `x` against weights of `shape`.
  left_rows(context& ctx, dtype x, const packed_shape& shape, uint32_t count);

  const std::vector<tile>& tiles() const {
    return tiles_;
  }

  /// Fills tile `i`.
  void pack(const kernel_set& kernels, const row_source& from, uint32_t i);

  const std::byte* values(const tile& t) const {
    return values_ + t.first * row_bytes();
  }

  /// [blocks][rows] of the tile; null with weights that have no scales.
  const float* scales(const tile& t) const {
    return scales_ ? scales_ + uint64_t{t.first} * blocks_ : nullptr;
  }

  bool pairs() const {
    return pairs_;
  }

private:
  uint64_t row_bytes() const {
    return uint64_t{depth_} * (pairs_ ? 2 : 4);
  }

  void pack_columns(const kernel_set& kernels, const row_source& from,
                    const tile& t, uint32_t first, uint32_t width);
  void pack_scales(const row_source& from, const tile& t, uint32_t r);

  bool pairs_ = false; ///< bf16 pairs, else f32
  uint32_t depth_ = 0;
  uint32_t blocks_ = 0;
  std::vector<tile> tiles_;
  std::byte* values_ = nullptr;
  float* scales_ = nullptr;
};

/// out = rows W^T (+ residual)
struct product {
  const left_rows* left = nullptr;
  packed_shape shape;
  const std::byte* w = nullptr; ///< One packed matrix.
  tensor out;                   ///< [rows, N] f32 or bf16
  tensor residual;              ///< [rows, N] f32, or empty

  const std::byte* panel(uint32_t i) const {
    return w + i * shape.panel_bytes();
  }
};

void run_products(context& ctx, std::span<const product> products);

/// Packs all tiles of `left`.
void pack_rows_of(context& ctx, left_rows& left, const row_source& from);

} // namespace troupe::kernels::cpu
