#include "runtime/batching/prefix_cache.hpp"

#include "runtime/digest.hpp"

#include <utility>

namespace troupe {

size_t prefix_cache::hash::operator()(const block_content& x) const {
  auto tokens = std::as_bytes(std::span{x.tokens});
  auto out = digest_of(tokens).low ^ x.before * 0x9e3779b97f4a7c15
             ^ x.multi_head * 0xc2b2ae3d27d4eb4f;
  return x.salt.empty() ? out : out ^ digest_of(x.salt).low;
}

prefix_cache::prefix_cache(kv_pool& pool, bool is_on)
  : pool_(pool), is_on_(is_on), known_(pool.num_blocks()) {
}

prefix_cache::~prefix_cache() {
  for (uint32_t block = 0; block < known_.size(); ++block)
    if (known_[block].content)
      forget(block);
}

std::optional<uint32_t> prefix_cache::take() {
  if (pool_.num_free() == 0 && !idle_.empty())
    forget(idle_.front());
  return pool_.take();
}

void prefix_cache::release(uint32_t block) {
  pool_.release(block);
  auto& x = known_[block];
  if (!x.content || pool_.num_references(block) > 1)
    return;
  x.is_idle = true;
  x.place = idle_.insert(idle_.end(), block);
}

std::optional<prefix_cache::entry>
prefix_cache::find(const block_content& x) const {
  auto i = entries_.find(x);
  return i == entries_.end() ? std::nullopt : std::optional{i->second};
}

void prefix_cache::hold(uint32_t block) {
  auto& x = known_[block];
  CHECK(x.content || pool_.is_held(block));
  if (std::exchange(x.is_idle, false))
    idle_.erase(x.place);
  pool_.add_reference(block);
}

void prefix_cache::keep_keys(const kv_key& identity) {
  CHECK(entries_.empty());
  chain_.emplace(identity);
  keys_.resize(known_.size());
}

kv_block prefix_cache::described(uint32_t block) const {
  auto& x = known_[block];
  CHECK(chain_ && x.content);
  auto& [key, at] = keys_[block];
  return {key, at.before, at.depth, x.content->tokens, x.content->multi_head};
}

std::vector<uint32_t> prefix_cache::take_fresh() {
  std::vector<uint32_t> out;
  for (auto& [block, name] : std::exchange(fresh_, {}))
    if (known_[block].name == name)
      out.push_back(block);
  return out;
}

uint64_t prefix_cache::seal(const block_content& x, uint32_t block,
                            const chain_place& at, bool is_fresh) {
  if (!is_on_)
    return 0;
  CHECK(!known_[block].content && pool_.is_held(block));
  auto [i, is_new] = entries_.try_emplace(x, entry{last_name_ + 1, block});
  if (!is_new)
    return i->second.name;
  pool_.add_reference(block);
  known_[block].content = &i->first;
  known_[block].name = ++last_name_;
  if (chain_) {
    keys_[block] = {kv_chain::next(at.before, x.tokens, x.multi_head), at};
    if (is_fresh)
      fresh_.emplace_back(block, last_name_);
  }
  return last_name_;
}

void prefix_cache::spoil(uint32_t block) {
  if (chain_)
    spoilt_.push_back(keys_[block].key);
  forget(block);
}

/// Those that follow it are not found any more, and become idle in their turn.
void prefix_cache::forget(uint32_t block) {
  auto& x = known_[block];
  if (std::exchange(x.is_idle, false))
    idle_.erase(x.place);
  x.name = 0;
  entries_.erase(*std::exchange(x.content, nullptr));
  pool_.release(block);
}

} // namespace troupe
