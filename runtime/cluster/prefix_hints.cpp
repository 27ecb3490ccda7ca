#include "runtime/cluster/prefix_hints.hpp"

#include "kernels/ops.hpp"
#include "runtime/digest.hpp"

#include <span>

namespace troupe {

namespace {

constexpr size_t block_tokens = kernels::latent_cache::block_tokens;

} // namespace

std::vector<uint64_t> prefix_names(const generation_request& x) {
  std::vector<uint64_t> out;
  auto name = digest_of(x.cache_salt).low;
  std::span all{x.prompt};
  for (; all.size() >= block_tokens; all = all.subspan(block_tokens)) {
    auto tokens = digest_of(std::as_bytes(all.first(block_tokens))).low;
    name = tokens ^ name * 0x9e3779b97f4a7c15;
    out.push_back(name);
  }
  return out;
}

prefix_hints::prefix_hints(uint32_t num_ranks, uint32_t most)
  : most_(most), ranks_(num_ranks) {
}

/// From the last on: who comes first goes last.
void prefix_hints::note(rank_id rank, const std::vector<uint64_t>& names) {
  auto& [order, at] = ranks_.at(rank);
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (auto i = at.find(*name); i != at.end())
      order.erase(i->second);
    order.push_front(*name);
    at[*name] = order.begin();
  }
  for (; order.size() > most_; order.pop_back())
    at.erase(order.back());
}

uint32_t prefix_hints::found(rank_id rank,
                             const std::vector<uint64_t>& names) const {
  auto& at = ranks_.at(rank).at;
  size_t n = 0;
  while (n < names.size() && at.contains(names[n]))
    ++n;
  return static_cast<uint32_t>(n * block_tokens);
}

void prefix_hints::forget(rank_id rank) {
  ranks_.at(rank) = {};
}

} // namespace troupe
