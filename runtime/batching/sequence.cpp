#include "runtime/batching/sequence.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto tokens_of_block = kernels::latent_cache::block_tokens;

} // namespace

uint32_t sequence::num_blocks_after(uint64_t more) const {
  // The last token that is sampled is never computed.
  auto most = request->prompt.size() + request->max_tokens - 1;
  return num_blocks_for(
    static_cast<uint32_t>(std::min<uint64_t>(most, num_tokens() + more)));
}

block_content sequence::content_of(uint32_t block, uint64_t before) const {
  block_content out{before, before == 0 ? request->cache_salt : "", {}, 0};
  for (uint32_t i = 0, at = block * tokens_of_block; i < tokens_of_block;
       ++i, ++at) {
    out.tokens[i] = token_at(at);
    if (run_at(at).form == attention_form::multi_head)
      out.multi_head |= uint64_t{1} << i;
  }
  return out;
}

uint32_t num_prefix_blocks(const sequence& x) {
  auto is_scored = x.request->num_prompt_scores > 0 && x.answer.empty();
  return is_scored ? 0 : (x.num_tokens() - 1) / tokens_of_block;
}

void find_prefix(const prefix_cache& cache, sequence& x) {
  auto& out = x.found;
  auto is_gone = [&](auto& y) { return !cache.has(y); };
  out.erase(std::ranges::find_if(out, is_gone), out.end());
  auto most = cache.is_on() ? num_prefix_blocks(x) : 0;
  while (out.size() < most) {
    auto before = out.empty() ? 0 : out.back().name;
    auto next = cache.find(x.content_of(uint32_t(out.size()), before));
    if (!next)
      break;
    out.push_back(*next);
  }
}

uint32_t take_prefix(prefix_cache& cache, sequence& x) {
  for (auto& y : x.found) {
    cache.hold(y.block);
    x.blocks->push_back(y.block);
    x.sealed = y.name;
    if (cache.keeps_keys())
      x.sealed_key = cache.key_of(y.block);
  }
  x.num_sealed = static_cast<uint32_t>(x.found.size());
  x.found.clear();
  auto out = x.num_sealed * tokens_of_block;
  if (!x.num_cached)
    x.num_cached = std::min(out,
                            static_cast<uint32_t>(x.request->prompt.size()));
  return out;
}

chain_place next_place(const prefix_cache& cache, const sequence& x) {
  if (!cache.keeps_keys())
    return {};
  return {x.num_sealed == 0 ? cache.chain().root(x.request->cache_salt)
                            : x.sealed_key,
          x.num_sealed};
}

void seal_blocks(prefix_cache& cache, sequence& x) {
  if (!cache.is_on())
    return;
  auto num_full = std::min<size_t>(x.num_computed / tokens_of_block,
                                   x.blocks->size());
  for (; x.num_sealed < num_full; ++x.num_sealed) {
    auto at = next_place(cache, x);
    auto content = x.content_of(x.num_sealed, x.sealed);
    x.sealed = cache.seal(content, (*x.blocks)[x.num_sealed], at);
    if (cache.keeps_keys())
      x.sealed_key = kv_chain::next(at.before, content.tokens,
                                    content.multi_head);
  }
}

void forget_blocks(prefix_cache& cache, sequence& x) {
  for (auto block : *x.blocks)
    if (cache.is_known(block))
      cache.spoil(block);
  x.num_sealed = static_cast<uint32_t>(x.blocks->size());
}

bool claim_blocks(prefix_cache& cache, sequence& x) {
  auto need = num_blocks_for(x.num_tokens());
  if (need > x.blocks->size() + cache.num_available())
    return false;
  while (x.blocks->size() < need)
    x.blocks->push_back(*cache.take());
  return true;
}

void release_blocks(prefix_cache& cache, sequence& x) {
  for (auto block = x.blocks->rbegin(); block != x.blocks->rend(); ++block)
    cache.release(*block);
  x.blocks->clear();
  x.num_sealed = 0;
  x.sealed = 0;
}

} // namespace troupe
