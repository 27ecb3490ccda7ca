#include "runtime/cluster/prompt_placement.hpp"

#include "kernels/ops.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr uint32_t block_tokens = kernels::latent_cache::block_tokens;

/// For a block that another rank has: none comes from there.
constexpr double never = 1e9;

/// Blocks that are remembered of all ranks together: some 100 bytes each.
constexpr uint32_t most_hints = 1 << 20;

double seconds(uint64_t ps) {
  return double(ps) / 1e12;
}

} // namespace

prompt_placement::prompt_placement(const topology& cluster)
  : hints_(cluster.num_ranks(),
           std::min(cluster.num_kv_blocks(),
                    most_hints / std::max(cluster.num_ranks(), 1u))) {
}

void prompt_placement::hear(const part_loads& x) {
  for (auto& y : x.ranks)
    if (y.prompt_token_ps > 0)
      prices_[y.rank] = {seconds(y.prompt_token_ps), seconds(y.prompt_pair_ps),
                         0};
}

/// The mean of all that have told: they are machines alike.
std::optional<balance::prefill_prices> prompt_placement::price() const {
  if (prices_.empty())
    return std::nullopt;
  balance::prefill_prices out{0, 0, never};
  auto n = double(prices_.size());
  for (auto& [rank, x] : prices_) {
    out.token += x.token / n;
    out.pair += x.pair / n;
  }
  return out;
}

/// Who has a token, or another owner, is read.
void prompt_placement::forget_read(const request_journal& journal) {
  std::erase_if(readings_, [&](auto& x) {
    auto& [id, what] = x;
    return !journal.is_owned(id, what.term) || !journal.answered(id).empty();
  });
}

std::vector<rank_id>
prompt_placement::best_of(const std::vector<rank_id>& usable,
                          const generation_request& what,
                          const request_journal& journal) {
  forget_read(journal);
  auto costs = price();
  if (!costs)
    return usable;
  std::vector<double> backlog(usable.size());
  std::vector<uint32_t> cached;
  auto names = prefix_names(what);
  for (size_t i = 0; i < usable.size(); ++i) {
    cached.push_back(hints_.found(usable[i], names));
    for (auto& [id, x] : readings_)
      if (x.rank == usable[i])
        backlog[i] += costs->seconds(x.cached, x.tokens - x.cached);
  }
  balance::prefill_balancer balancer{*costs, 0, 0};
  auto tokens = static_cast<uint32_t>(what.prompt.size());
  auto best = balancer.place(tokens, backlog, cached, 0).seconds;
  auto latest = best + costs->seconds(tokens, block_tokens);
  std::vector<rank_id> out;
  for (size_t i = 0; i < usable.size(); ++i) {
    auto own = std::min(cached[i], tokens - 1);
    if (backlog[i] + costs->seconds(own, tokens - own) <= latest)
      out.push_back(usable[i]);
  }
  return out;
}

void prompt_placement::given(request_id id, const request_journal& journal) {
  forget_read(journal);
  auto names = prefix_names(*journal.what(id));
  auto rank = journal.rank_of(id);
  auto tokens = static_cast<uint32_t>(journal.what(id)->prompt.size());
  readings_[id] = {rank, journal.term_of(id),
                   std::min(hints_.found(rank, names), tokens - 1), tokens};
  hints_.note(rank, names);
}

} // namespace troupe
