#pragma once

/// What names a block of the latent cache outside of the process that computed
/// it: a chain of SHA-256 over everything that its bytes follow from. Whoever
/// can choose tokens cannot choose two chains with one name.

#include "kernels/ops.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>

namespace troupe {

struct kv_key {
  std::array<std::byte, 32> bytes = {};

  friend bool operator==(const kv_key&, const kv_key&) = default;
};

/// A key is a hash already.
struct kv_key_hash {
  size_t operator()(const kv_key& x) const {
    size_t out;
    std::memcpy(&out, x.bytes.data(), sizeof out);
    return out;
  }
};

using kv_key_set = std::unordered_set<kv_key, kv_key_hash>;

/// 64 digits.
std::string to_string(const kv_key& x);

/// Of whatever decides the bytes of blocks beside tokens and forms: precision,
/// settings, target, weights, the bytes of a block.
kv_key identity_of(std::string_view text);

/// A full block, as it is known beyond this process.
struct kv_block {
  static constexpr uint32_t num_tokens = kernels::latent_cache::block_tokens;

  kv_key key;
  kv_key before;      ///< The block before it; of a first one the root.
  uint32_t depth = 0; ///< Blocks before it.
  std::array<int32_t, num_tokens> tokens = {};
  uint64_t multi_head = 0; ///< Bit i: the form of attention of tokens[i].

  friend bool operator==(const kv_block&, const kv_block&) = default;
};

/// Names blocks of one identity.
class kv_chain {
public:
  explicit kv_chain(const kv_key& identity) : identity_(identity) {
  }

  const kv_key& identity() const {
    return identity_;
  }

  /// Before the first block of a tenant.
  kv_key root(std::string_view salt) const;

  /// The key of the block with these tokens and forms behind `before`.
  static kv_key next(const kv_key& before,
                     const std::array<int32_t, kv_block::num_tokens>& tokens,
                     uint64_t multi_head);

private:
  kv_key identity_;
};

} // namespace troupe
