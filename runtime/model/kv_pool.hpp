#pragma once

/// The latent KV cache of one rank: blocks of 64 tokens, all layers of a block
/// side by side, so that a block is one transfer. Counts references; a block
/// is free again when nobody refers to it.

#include "kernels/device.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/error.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace troupe {

class kv_pool {
public:
  /// Claims the memory of `num_blocks` blocks. Error: out_of_memory.
  static result<std::unique_ptr<kv_pool>>
  make(kernels::device& dev, const model_config& config, precision activations,
       uint32_t num_blocks);

  ~kv_pool();

  /// Takes a free block with one reference; nothing if all are taken.
  std::optional<uint32_t> take();
  void add_reference(uint32_t block);
  /// Gives one reference back.
  void release(uint32_t block);

  uint32_t num_blocks() const;
  uint32_t num_free() const;

  /// Whether somebody holds it.
  bool is_held(uint32_t block) const {
    return block < references_.size() && references_[block] > 0;
  }

  uint32_t num_references(uint32_t block) const {
    return references_[block];
  }

  /// Those that somebody holds, counted one by one: for checks.
  uint32_t num_used() const;

  /// Bytes of one block, all layers.
  uint64_t block_bytes() const;
  static uint64_t block_bytes(const model_config& config,
                              precision activations);

  /// Bytes of a block's first layers, which begin it.
  uint64_t bytes_of_layers(uint32_t count) const {
    return count * layer_bytes_;
  }

  /// All layers of one block.
  kernels::buffer block(uint32_t block) const {
    return mem_.slice(block * block_bytes(), block_bytes());
  }

  /// Returns the cache of one layer as operations want it.
  kernels::latent_cache layer(uint32_t layer) const;

private:
  kv_pool() = default;

  static kernels::latent_cache cache_of(const model_config& config,
                                        precision activations);

  kernels::device* dev_ = nullptr;
  kernels::buffer mem_;
  kernels::latent_cache first_layer_;
  uint64_t layer_bytes_ = 0;
  std::vector<uint32_t> references_; ///< [blocks]
  std::vector<uint32_t> free_;       ///< Lowest id last, so that it goes first.
};

} // namespace troupe
