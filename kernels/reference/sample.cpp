// From logits to a token, by sorting whatever weighs anything.

#include "kernels/host/host_memory.hpp"
#include "kernels/host/token_weights.hpp"
#include "kernels/reference/operations.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
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
  auto least = host::level_of_share(how.min_p);
  for (uint32_t i = 0; i < how.num_choices; ++i) {
    auto level = scale.level_of(logits[i]);
    if (auto weight = host::weight_of(level); weight > 0 && level >= least)
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

/// Nothing where no token can be chosen.
std::optional<float> largest(const float* logits, uint32_t count) {
  auto end = logits + count;
  if (std::any_of(logits, end, [](float x) { return std::isnan(x); }))
    return std::nullopt;
  auto best = *std::max_element(logits, end);
  return std::isfinite(best) ? std::optional{best} : std::nullopt;
}

std::vector<float> edited(const float* logits, const draw& how) {
  std::vector<float> out(logits, logits + how.num_choices);
  if (how.edits)
    for (auto& x : *how.edits)
      if (x.id < how.num_choices) {
        auto sum = out[x.id] + x.bias;
        auto scaled = sum > 0 ? sum / x.repetition : sum * x.repetition;
        out[x.id] = scaled - x.penalty;
      }
  if (how.allowed)
    for (size_t i = 0; i < out.size(); ++i)
      if (((*how.allowed)[i / 64] >> (i % 64) & 1) == 0)
        out[i] += -std::numeric_limits<float>::infinity();
  return out;
}

} // namespace

int32_t choose(const float* given, const draw& how) {
  std::vector<float> own;
  auto logits = given;
  if (how.edits || how.allowed) {
    own = edited(given, how);
    logits = own.data();
  }
  auto best = largest(logits, how.num_choices);
  if (!best)
    return no_token;
  if (!(how.temperature > 0))
    return static_cast<int32_t>(
      std::find(logits, logits + how.num_choices, *best) - logits);
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

std::vector<scored> scores(const float* logits, const draw& how, int32_t id) {
  auto max = *std::max_element(logits, logits + how.num_choices);
  host::level_scale scale{max, 1};
  uint64_t sum = 0;
  std::vector<int32_t> ids(how.num_choices);
  for (uint32_t i = 0; i < how.num_choices; ++i) {
    sum += host::weight_of(scale.level_of(logits[i]));
    ids[i] = static_cast<int32_t>(i);
  }
  std::stable_sort(ids.begin(), ids.end(),
                   [&](auto a, auto b) { return logits[a] > logits[b]; });
  ids.insert(ids.begin(), id);
  std::vector<scored> out(how.num_scores);
  for (size_t i = 0; i < out.size() && i < ids.size(); ++i)
    out[i] = {ids[i], host::log_probability(logits[ids[i]], max, sum)};
  return out;
}

void run(const sample& op) {
  for (size_t i = 0; i < op.draws.size(); ++i) {
    auto& how = op.draws[i];
    auto logits = host::row<float>(op.logits, how.row);
    auto is_given = how.given != no_token;
    auto id = is_given ? how.given : choose(logits, how);
    if (is_given && !largest(logits, how.num_choices))
      id = no_token;
    *host::row<int32_t>(op.ids, i) = id;
    if (id == no_token || how.num_scores == 0)
      continue;
    uint32_t at = 0;
    for (auto& x : scores(logits, how, id)) {
      host::row<float>(op.scores, i)[at] = x.score;
      host::row<int32_t>(op.score_ids, i)[at++] = x.id;
    }
  }
}

} // namespace troupe::kernels::reference
