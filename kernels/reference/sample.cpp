// From logits to a token, by sorting whatever weighs anything.

#include "kernels/host/host_memory.hpp"
#include "kernels/host/token_weights.hpp"
#include "kernels/reference/operations.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace troupe::kernels::reference {

namespace {

struct candidate {
  int32_t id = 0;
  double level = 0;
  uint64_t weight = 0;
};

uint64_t sum_of(const std::vector<candidate>& all) {
  uint64_t sum = 0;
  for (auto& x : all)
    sum += x.weight;
  return sum;
}

/// The ids that weigh anything, largest first, ties in order of id.
std::vector<candidate> sorted(const float* logits, float max, const draw& how) {
  host::level_scale scale{max, how.temperature};
  std::vector<candidate> out;
  for (uint32_t i = 0; i < how.num_choices; ++i) {
    auto level = scale.level_of(logits[i]);
    if (auto weight = host::weight_of(level); weight > 0)
      out.push_back({static_cast<int32_t>(i), level, weight});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](auto& a, auto& b) { return a.level > b.level; });
  return out;
}

/// Leaves as many of the first as have top_p of the weight.
void cut(std::vector<candidate>& all, float top_p) {
  auto share = host::share_of(sum_of(all), top_p);
  uint64_t sum = 0;
  size_t keep = 0;
  while (sum < share)
    sum += all[keep++].weight;
  all.resize(keep);
}

} // namespace

int32_t choose(const float* logits, const draw& how) {
  auto end = logits + how.num_choices;
  if (std::any_of(logits, end, [](float x) { return std::isnan(x); }))
    return no_token;
  auto best = std::max_element(logits, end);
  if (!std::isfinite(*best))
    return no_token;
  if (!(how.temperature > 0))
    return static_cast<int32_t>(best - logits);
  auto all = sorted(logits, *best, how);
  if (how.top_k > 0 && how.top_k < all.size())
    all.resize(how.top_k);
  if (how.top_p < 1)
    cut(all, how.top_p);
  auto place = host::place_of(sum_of(all), how.point);
  std::sort(all.begin(), all.end(),
            [](auto& a, auto& b) { return a.id < b.id; });
  uint64_t sum = 0;
  auto is_it = [&](auto& x) { return (sum += x.weight) > place; };
  return std::find_if(all.begin(), all.end(), is_it)->id;
}

void run(const sample& op) {
  for (size_t i = 0; i < op.draws.size(); ++i) {
    auto& how = op.draws[i];
    *host::row<int32_t>(op.ids, i)
      = choose(host::row<float>(op.logits, how.row), how);
  }
}

} // namespace troupe::kernels::reference
