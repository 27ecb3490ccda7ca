#include "runtime/kv_store/kv_tiers.hpp"

#include <algorithm>

namespace troupe {

std::optional<kv_memory::place> kv_tiers::begin_keep(const kv_block& x) const {
  return memory && !is_in_memory(x.key) ? memory->begin_write(x) : std::nullopt;
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
  if (store && may_read)
    out.missed = static_cast<uint32_t>(chain.size()) - out.all;
  return out;
}

void kv_tiers::touch(std::span<const kv_key> chain) const {
  auto touch_last = [&](auto& tier) {
    auto has = [&](auto& x) { return tier.index().has(x); };
    auto i = std::find_if(chain.rbegin(), chain.rend(), has);
    if (i != chain.rend())
      tier.touch(*i);
  };
  if (store)
    touch_last(*store);
  if (memory)
    touch_last(*memory);
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
