#include "runtime/kv_store/kv_memory.hpp"

namespace troupe {

namespace {

uint64_t num_slots_of(uint64_t max_bytes, uint64_t block_bytes) {
  return std::max<uint64_t>(max_bytes / block_bytes, 1);
}

} // namespace

std::unique_ptr<kv_memory> kv_memory::make(kernels::device& dev,
                                           uint64_t max_bytes,
                                           uint64_t block_bytes) {
  std::vector<kernels::host_ptr> room(num_slots_of(max_bytes, block_bytes));
  for (auto& x : room)
    if (x = dev.allocate_host(block_bytes); !x)
      return nullptr;
  return std::unique_ptr<kv_memory>{new kv_memory{std::move(room)}};
}

uint64_t kv_memory::num_bytes(uint64_t max_bytes, uint64_t block_bytes) {
  auto count = num_slots_of(max_bytes, block_bytes);
  return count * (block_bytes + sizeof(kernels::host_ptr) + sizeof(kv_block))
         + kv_index::num_bytes(count);
}

kv_memory::kv_memory(std::vector<kernels::host_ptr> room)
  : index_(room.size()), room_(std::move(room)), what_(room_.size()) {
}

std::optional<kv_memory::place> kv_memory::begin_write(const kv_block& x) {
  if (!index_.has_before(x))
    return std::nullopt;
  auto slot = index_.begin_write(x);
  if (!slot)
    return std::nullopt;
  what_[*slot] = x;
  return place{*slot, room_[*slot]};
}

void kv_memory::end_write(uint64_t slot, bool ok) {
  index_.end_write(slot, ok);
}

/// A name is a hash: the tokens and forms behind it are compared as well.
std::optional<kv_memory::place> kv_memory::begin_read(const kv_block& x) {
  auto slot = index_.begin_read(x.key);
  if (!slot)
    return std::nullopt;
  if (what_[*slot] == x)
    return place{*slot, room_[*slot]};
  end_read(*slot);
  return std::nullopt;
}

void kv_memory::end_read(uint64_t slot) {
  index_.end_read(slot, true);
}

} // namespace troupe
