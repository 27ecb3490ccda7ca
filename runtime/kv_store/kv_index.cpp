#include "runtime/kv_store/kv_index.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

void kv_index::add(uint64_t slot, const kv_block& x, uint64_t serial) {
  if (slot >= num_slots_ || slot >= none)
    return;
  auto at = static_cast<uint32_t>(slot);
  if (entries_.size() <= at)
    entries_.resize(at + 1);
  if (auto i = slot_of_.find(x.key); i != slot_of_.end()) {
    if (entries_[i->second].serial >= serial)
      return;
    make_empty(i->second);
  }
  CHECK(entries_[at].what == state::empty);
  auto& e = entries_[at];
  e.key = x.key;
  e.before = x.before;
  e.serial = serial;
  e.depth = x.depth;
  e.what = state::whole;
  slot_of_[x.key] = at;
  ++num_blocks_;
}

void kv_index::arrange() {
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].what == state::whole)
      all.push_back(i);
  auto serial = [this](auto i) { return entries_[i].serial; };
  std::ranges::sort(all, std::greater{}, serial);
  // Whoever is behind a block was written for its sake, too: each gets the
  // latest serial of those, which is the first that comes along here.
  for (auto i : all) {
    auto latest = entries_[i].serial;
    auto* x = &entries_[i];
    for (auto j = slot_of_.find(x->before); j != slot_of_.end();
         j = slot_of_.find(x->before)) {
      auto& up = entries_[j->second];
      if (up.serial >= latest || up.depth >= x->depth)
        break;
      up.serial = latest;
      x = &up;
    }
  }
  std::ranges::sort(all, [this](auto a, auto b) {
    auto &x = entries_[a], &y = entries_[b];
    return std::pair{x.serial, y.depth} < std::pair{y.serial, x.depth};
  });
  for (auto i : all)
    link(i);
  empty_.clear();
  for (auto i = uint32_t(entries_.size()); i-- > 0;)
    if (entries_[i].what == state::empty)
      empty_.push_back(i);
}

uint32_t kv_index::num_found(std::span<const kv_block> chain) const {
  auto i = std::ranges::find_if_not(
    chain, [this](auto& x) { return can_read(x.key); });
  return static_cast<uint32_t>(i - chain.begin());
}

const kv_index::entry* kv_index::find(const kv_key& x) const {
  auto i = slot_of_.find(x);
  return i == slot_of_.end() ? nullptr : &entries_[i->second];
}

void kv_index::touch(const kv_key& last) {
  auto i = slot_of_.find(last);
  for (auto depth = UINT64_MAX;
       i != slot_of_.end() && entries_[i->second].depth < depth;
       i = slot_of_.find(entries_[i->second].before)) {
    depth = entries_[i->second].depth;
    unlink(i->second);
    link(i->second);
  }
}

/// Nothing that stands before `before` goes either: it is not older.
std::optional<uint32_t> kv_index::slot_to_use(const kv_key& before) {
  if (!empty_.empty()) {
    auto out = empty_.back();
    empty_.pop_back();
    return out;
  }
  if (entries_.size() < std::min<uint64_t>(num_slots_, none)) {
    entries_.emplace_back();
    return static_cast<uint32_t>(entries_.size() - 1);
  }
  auto out = oldest_;
  auto is_in_use = [](auto& x) {
    return x.num_readers > 0 || x.what != state::whole;
  };
  while (out != none && entries_[out].key != before && is_in_use(entries_[out]))
    out = entries_[out].newer;
  if (out == none || entries_[out].key == before)
    return std::nullopt;
  make_empty(out);
  empty_.pop_back();
  ++num_evicted_;
  return out;
}

std::optional<uint64_t> kv_index::begin_write(const kv_block& x) {
  if (has(x.key)) {
    touch(x.key);
    return std::nullopt;
  }
  // What it stands on is not to go for its sake.
  touch(x.before);
  auto slot = slot_to_use(x.before);
  if (!slot)
    return std::nullopt;
  auto& e = entries_[*slot];
  e.key = x.key;
  e.before = x.before;
  e.depth = x.depth;
  e.what = state::writing;
  slot_of_[x.key] = *slot;
  link(*slot);
  touch(x.key);
  return *slot;
}

bool kv_index::end_write(uint64_t slot, bool ok) {
  auto at = static_cast<uint32_t>(slot);
  auto& e = entries_.at(at);
  if (e.what == state::abandoned) {
    e.what = state::empty;
    empty_.push_back(at);
    return false;
  }
  CHECK(e.what == state::writing);
  if (!ok) {
    make_empty(at);
    return false;
  }
  e.what = state::whole;
  ++num_blocks_;
  return true;
}

void kv_index::abandon(uint64_t slot) {
  auto at = static_cast<uint32_t>(slot);
  auto& e = entries_.at(at);
  if (e.what == state::abandoned)
    return;
  CHECK(e.what == state::writing);
  slot_of_.erase(e.key);
  unlink(at);
  e.what = state::abandoned;
}

std::optional<uint64_t> kv_index::begin_read(const kv_key& x) {
  auto i = slot_of_.find(x);
  if (i == slot_of_.end() || entries_[i->second].what != state::whole)
    return std::nullopt;
  ++entries_[i->second].num_readers;
  return i->second;
}

void kv_index::end_read(uint64_t slot, bool ok) {
  auto at = static_cast<uint32_t>(slot);
  auto& e = entries_.at(at);
  CHECK(e.num_readers > 0);
  --e.num_readers;
  if (!ok && e.what == state::whole)
    forget(at);
  if (e.what == state::forgotten && e.num_readers == 0) {
    e.what = state::empty;
    empty_.push_back(at);
  }
}

std::optional<uint64_t> kv_index::drop(const kv_key& x) {
  auto i = slot_of_.find(x);
  if (i == slot_of_.end())
    return std::nullopt;
  auto at = i->second;
  if (entries_[at].what == state::writing) {
    abandon(at);
    return std::nullopt;
  }
  if (entries_[at].num_readers > 0)
    forget(at);
  else
    make_empty(at);
  return at;
}

bool kv_index::add_what_stands_on(kv_key_set& keys) const {
  std::vector<const entry*> all;
  for (auto& [key, slot] : slot_of_)
    if (entries_[slot].depth > 0)
      all.push_back(&entries_[slot]);
  auto stands = [&](auto* x) { return keys.contains(x->before); };
  if (std::ranges::none_of(all, stands))
    return false;
  auto num_before = keys.size();
  std::ranges::sort(all, {}, [](auto* x) { return x->depth; });
  for (auto* x : all)
    if (stands(x))
      keys.insert(x->key);
  return keys.size() > num_before;
}

/// Its slot is used again once nobody reads it any more.
void kv_index::forget(uint32_t slot) {
  auto& e = entries_[slot];
  slot_of_.erase(e.key);
  unlink(slot);
  e.what = state::forgotten;
  --num_blocks_;
}

void kv_index::make_empty(uint32_t slot) {
  auto& e = entries_[slot];
  if (e.what == state::whole)
    --num_blocks_;
  slot_of_.erase(e.key);
  unlink(slot);
  e.what = state::empty;
  empty_.push_back(slot);
}

void kv_index::link(uint32_t slot) {
  auto& e = entries_[slot];
  e.older = std::exchange(newest_, slot);
  e.newer = none;
  (e.older == none ? oldest_ : entries_[e.older].newer) = slot;
}

void kv_index::unlink(uint32_t slot) {
  auto& e = entries_[slot];
  if (e.older == none && e.newer == none && oldest_ != slot)
    return; // it is not in the ring yet
  (e.older == none ? oldest_ : entries_[e.older].newer) = e.newer;
  (e.newer == none ? newest_ : entries_[e.newer].older) = e.older;
  e.older = e.newer = none;
}

} // namespace troupe
