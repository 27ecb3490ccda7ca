#pragma once

/// The latent cache of one sequence as attention reads it.

#include "kernels/cpu/context.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/ops.hpp"

#include <cstring>

namespace troupe::kernels::cpu {

constexpr uint32_t padded(uint32_t columns) {
  return (columns + column_group - 1) / column_group * column_group;
}

/// Tokens of one cache block as rows of a padded width.
struct key_rows {
  const std::byte* data = nullptr;
  uint64_t stride = 0; ///< Bytes
};

/// Finds blocks by position. Tokens whose width is no multiple of
/// `column_group` are copied first, with zeros behind them.
class key_blocks {
public:
  static constexpr uint32_t tokens = latent_cache::block_tokens;

  key_blocks(const latent_cache& cache, const sequence_rows& sequence)
    : cache_(cache), sequence_(sequence), width_(cache.latent + cache.rope),
      token_bytes_(width_ * uint32_t{size_of(cache.type)}) {
    if (width_ != padded(width_)) {
      copy_bytes_ = uint64_t{padded(width_)} * size_of(cache.type);
      copy_ = make_aligned(tokens * copy_bytes_);
      std::memset(copy_.get(), 0, tokens * copy_bytes_);
    }
  }

  /// The first `count` tokens of the block that begins at `position`. Valid
  /// until the next call.
  key_rows load(uint32_t position, uint32_t count) {
    auto src = address(position);
    if (!copy_)
      return {src, token_bytes_};
    for (uint32_t j = 0; j < count; ++j)
      std::memcpy(copy_.get() + j * copy_bytes_, src + j * token_bytes_,
                  token_bytes_);
    return {copy_.get(), copy_bytes_};
  }

  /// Where the block that begins at `position` lies, to be fetched early; null
  /// if its tokens are copied first.
  const std::byte* where(uint32_t position) const {
    return copy_ ? nullptr : address(position);
  }

  /// Half of the tokens of the block that begins at `position`, to be fetched
  /// early; nothing if there is no such block.
  prefetch_lines half(uint32_t position, uint32_t which) const {
    if (position >= sequence_.first_position + sequence_.num_rows || copy_)
      return {address(0), 0};
    return {address(position) + uint64_t{which} * tokens / 2 * token_bytes_,
            line_bytes};
  }

private:
  static constexpr uint64_t line_bytes = 64;

  const std::byte* address(uint32_t position) const {
    auto block = (*sequence_.blocks)[position / tokens];
    return host::address_of(cache_.mem) + block * cache_.block_stride;
  }

  const latent_cache& cache_;
  const sequence_rows& sequence_;
  uint32_t width_;
  uint32_t token_bytes_;
  uint64_t copy_bytes_ = 0;
  aligned_bytes copy_; ///< [tokens][copy_bytes_], or null
};

} // namespace troupe::kernels::cpu
