#include "runtime/model/kv_pool.hpp"

#include <algorithm>

namespace troupe {

/// Less the memory.
kernels::latent_cache kv_pool::cache_of(const model_config& config,
                                        precision activations) {
  kernels::latent_cache out;
  out.type = activations == precision::fp32 ? kernels::dtype::f32
                                            : kernels::dtype::bf16;
  out.latent = config.kv_lora_rank;
  out.rope = config.qk_rope_head_dim;
  auto layer_bytes = uint64_t{kernels::latent_cache::block_tokens}
                     * (out.latent + out.rope) * size_of(out.type);
  out.block_stride = layer_bytes * config.num_hidden_layers;
  return out;
}

uint64_t kv_pool::block_bytes(const model_config& config,
                              precision activations) {
  return cache_of(config, activations).block_stride;
}

result<std::unique_ptr<kv_pool>>
kv_pool::make(kernels::device& dev, const model_config& config,
              precision activations, uint32_t num_blocks) {
  auto cache = cache_of(config, activations);
  auto mem = dev.allocate(cache.block_stride * num_blocks);
  if (!mem)
    return failure{errc::out_of_memory,
                   "no memory for a KV cache of " + std::to_string(num_blocks)
                     + " blocks of " + std::to_string(cache.block_stride)
                     + " bytes on " + std::string{dev.target()}};
  std::unique_ptr<kv_pool> out{new kv_pool};
  out->dev_ = &dev;
  out->mem_ = *mem;
  out->first_layer_ = cache;
  out->layer_bytes_ = cache.block_stride / config.num_hidden_layers;
  out->references_.resize(num_blocks);
  for (auto block = num_blocks; block > 0; --block)
    out->free_.push_back(block - 1);
  return out;
}

kv_pool::~kv_pool() {
  if (dev_)
    dev_->free(mem_);
}

std::optional<uint32_t> kv_pool::take() {
  if (free_.empty())
    return std::nullopt;
  auto block = free_.back();
  free_.pop_back();
  references_[block] = 1;
  return block;
}

void kv_pool::add_reference(uint32_t block) {
  CHECK(block < references_.size() && references_[block] > 0);
  ++references_[block];
}

void kv_pool::release(uint32_t block) {
  CHECK(block < references_.size() && references_[block] > 0);
  if (--references_[block] > 0)
    return;
  auto at = std::lower_bound(free_.begin(), free_.end(), block,
                             std::greater<uint32_t>{});
  free_.insert(at, block);
}

uint32_t kv_pool::num_blocks() const {
  return static_cast<uint32_t>(references_.size());
}

uint32_t kv_pool::num_free() const {
  return static_cast<uint32_t>(free_.size());
}

uint32_t kv_pool::num_used() const {
  auto is_held = [](uint32_t references) { return references > 0; };
  return static_cast<uint32_t>(std::ranges::count_if(references_, is_held));
}

uint64_t kv_pool::block_bytes() const {
  return first_layer_.block_stride;
}

kernels::latent_cache kv_pool::layer(uint32_t layer) const {
  CHECK((layer + 1) * layer_bytes_ <= first_layer_.block_stride);
  auto out = first_layer_;
  auto skip = layer * layer_bytes_;
  out.mem = mem_.slice(skip, mem_.bytes - skip);
  return out;
}

} // namespace troupe
