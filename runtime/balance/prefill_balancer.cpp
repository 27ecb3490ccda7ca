#include "runtime/balance/prefill_balancer.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::balance {

double prefill_prices::seconds(uint64_t first, uint64_t count) const {
  auto n = double(count);
  return token * n + pair * (n * double(first) + n * (n + 1) / 2);
}

uint64_t prefill_prices::tokens_within(double limit, uint64_t first) const {
  // pair / 2 n^2 + b n = limit
  auto b = token + pair * (double(first) + 0.5);
  if (limit <= 0)
    return 0;
  if (b <= 0)
    return UINT32_MAX;
  // Without the difference of numbers that are nearly alike.
  auto n = 2 * limit / (b + std::sqrt(b * b + 2 * pair * limit));
  auto out = uint64_t(std::min(n, double(UINT32_MAX)));
  return out > 0 && seconds(first, out) > limit ? out - 1 : out;
}

prefill_choice prefill_balancer::place(uint32_t tokens,
                                       std::span<const double> backlog,
                                       std::span<const uint32_t> cached,
                                       uint32_t elsewhere) const {
  CHECK(tokens > 0 && !backlog.empty() && cached.size() == backlog.size());
  auto longest = std::max(elsewhere, std::ranges::max(cached));
  prefill_choice best;
  auto is_first = true;
  auto offer = [&](const prefill_choice& x) {
    if (is_first || x.seconds < best.seconds)
      best = x;
    is_first = false;
  };
  auto most = tokens - 1;
  longest = std::min(longest, most);
  for (uint32_t r = 0; r < backlog.size(); ++r) {
    auto own = std::min(cached[r], most);
    offer({r, own, 0, backlog[r] + prices_.seconds(own, tokens - own)});
    if (longest <= own)
      continue;
    // It comes while others are computed.
    auto start = std::max(backlog[r], prices_.fetched * (longest - own));
    offer({r, longest, longest - own,
           start + prices_.seconds(longest, tokens - longest)});
  }
  return best;
}

double prefill_balancer::next_batch(std::span<const double> backlog) const {
  double sum = 0;
  for (auto x : backlog)
    sum += std::min(x, batch_seconds_);
  return backlog.empty() ? 0 : sum / double(backlog.size());
}

std::vector<prompt_chunk>
prefill_balancer::cut(std::span<const prefill_prompt> queue,
                      double seconds) const {
  std::vector<prompt_chunk> out;
  uint64_t left = batch_tokens_;
  for (uint32_t i = 0; i < queue.size() && left > 0; ++i) {
    auto& x = queue[i];
    auto rest = uint64_t{x.tokens} - x.done;
    auto count = std::min({rest, left, prices_.tokens_within(seconds, x.done)});
    if (count == 0 && out.empty())
      count = std::min<uint64_t>(rest, 1);
    if (count == 0)
      break;
    out.push_back({i, x.done, uint32_t(count)});
    seconds -= prices_.seconds(x.done, count);
    left -= count;
    if (count < rest)
      break;
  }
  return out;
}

} // namespace troupe::balance
