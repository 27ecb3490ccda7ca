#include "runtime/kv_store/kv_tiers.hpp"

namespace troupe {

std::optional<kv_memory::place> kv_tiers::begin_keep(const kv_block& x) const {
  return memory ? memory->begin_write(x) : std::nullopt;
}

kv_tiers::finding kv_tiers::find(std::span<const kv_block> chain,
                                 bool may_read) const {
  finding out;
  for (auto& x : chain) {
    auto is_here = memory && memory->index().can_read(x.key);
    if (!is_here && !(store && may_read && store->index().can_read(x.key)))
      break;
    ++out.all;
    out.on_disk += !is_here;
    out.before_disk += out.on_disk == 0;
  }
  return out;
}

void kv_tiers::touch(const kv_key& last) const {
  if (store)
    store->touch(last);
  if (memory)
    memory->touch(last);
}

kv_key_set kv_tiers::with_what_stands_on(std::span<const kv_key> keys) const {
  kv_key_set out(keys.begin(), keys.end());
  // Of a chain each may have a part.
  for (bool grows = true; grows;) {
    grows = memory && memory->index().add_what_stands_on(out);
    grows |= store && store->index().add_what_stands_on(out);
  }
  return out;
}

std::optional<kv_ticket> kv_tiers::drop(const kv_key& x) const {
  if (memory)
    memory->drop(x);
  return store ? store->drop(x) : std::nullopt;
}

} // namespace troupe
