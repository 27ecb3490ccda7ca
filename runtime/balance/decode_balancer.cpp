#include "runtime/balance/decode_balancer.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe::balance {

bool decode_balancer::has_room(const decode_rank& x, uint64_t kv_tokens) const {
  return x.requests < x.max_requests && kv_tokens <= x.max_kv_tokens
         && x.kv_tokens <= x.max_kv_tokens - kv_tokens;
}

double decode_balancer::cost(uint64_t kv_tokens) const {
  return prices_.request + prices_.kv_token * double(kv_tokens);
}

std::optional<uint32_t>
decode_balancer::place(std::span<const decode_rank> ranks,
                       uint64_t kv_tokens) const {
  std::optional<uint32_t> out;
  double best = 0;
  for (uint32_t i = 0; i < ranks.size(); ++i) {
    if (!has_room(ranks[i], kv_tokens))
      continue;
    auto seconds = ranks[i].seconds(prices_);
    if (out && seconds >= best)
      continue;
    best = seconds;
    out = i;
  }
  return out;
}

std::vector<request_move>
decode_balancer::plan_moves(std::span<const decode_rank> given,
                            std::span<const decode_request> requests) const {
  std::vector<decode_rank> ranks(given.begin(), given.end());
  std::vector<request_move> out;
  std::vector<char> is_moved(requests.size());
  auto seconds = [&](uint32_t r) { return ranks[r].seconds(prices_); };
  auto left = caps_.max_kv_tokens;
  while (!ranks.empty() && out.size() < caps_.max_moves) {
    uint32_t from = 0;
    for (uint32_t r = 1; r < ranks.size(); ++r)
      from = seconds(r) > seconds(from) ? r : from;
    auto before = seconds(from);
    auto best = before * (1 - caps_.least_gain);
    size_t chosen = requests.size();
    uint32_t to = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      auto& x = requests[i];
      if (x.rank != from || is_moved[i] || x.kv_tokens > left
          || before - cost(x.kv_tokens) >= best)
        continue;
      auto target = place(ranks, x.kv_tokens);
      if (!target || *target == from)
        continue;
      auto after = std::max(before - cost(x.kv_tokens),
                            seconds(*target) + cost(x.kv_tokens));
      if (after >= best)
        continue;
      best = after;
      chosen = i;
      to = *target;
    }
    if (chosen == requests.size())
      break;
    auto& x = requests[chosen];
    CHECK(ranks[from].requests > 0 && ranks[from].kv_tokens >= x.kv_tokens);
    is_moved[chosen] = true;
    left -= x.kv_tokens;
    --ranks[from].requests;
    ranks[from].kv_tokens -= x.kv_tokens;
    ++ranks[to].requests;
    ranks[to].kv_tokens += x.kv_tokens;
    out.push_back({x.id, from, to, x.kv_tokens, before, best});
  }
  return out;
}

} // namespace troupe::balance
