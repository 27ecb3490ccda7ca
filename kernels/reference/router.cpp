#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/products.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace troupe::kernels::reference {

namespace {

std::vector<float> sigmoid(const std::vector<float>& logits) {
  std::vector<float> out;
  for (double x : logits)
    out.push_back(static_cast<float>(1 / (1 + std::exp(-x))));
  return out;
}

std::vector<float> softmax(const std::vector<float>& logits) {
  auto maximum = *std::max_element(logits.begin(), logits.end());
  auto exp = [&](float x) { return std::exp(double{x} - maximum); };
  double total = 0;
  for (auto x : logits)
    total += exp(x);
  std::vector<float> out;
  for (auto x : logits)
    out.push_back(static_cast<float>(exp(x) / total));
  return out;
}

/// Returns the `count` ids of the largest scores among `ids`, best first, ties
/// to the lower id. NaN counts as the least.
std::vector<uint32_t> best_of(std::vector<uint32_t> ids,
                              const std::vector<float>& scores,
                              uint32_t count) {
  auto key = [&](uint32_t id) {
    return std::isnan(scores[id]) ? -std::numeric_limits<float>::infinity()
                                  : scores[id];
  };
  std::stable_sort(ids.begin(), ids.end(),
                   [&](auto a, auto b) { return key(a) > key(b); });
  ids.resize(count);
  return ids;
}

std::vector<uint32_t> first_ids(uint32_t first, uint32_t count) {
  std::vector<uint32_t> out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

/// Returns the experts of the groups that stay, ascending.
std::vector<uint32_t> candidates(const router& op,
                                 const std::vector<float>& choice) {
  auto size = op.w.rows / op.num_groups;
  auto num_best = op.group == group_score::best ? 1 : std::min(2u, size);
  std::vector<float> scores;
  for (uint32_t g = 0; g < op.num_groups; ++g) {
    auto best = best_of(first_ids(g * size, size), choice, num_best);
    scores.push_back(num_best == 1 ? choice[best[0]]
                                   : choice[best[0]] + choice[best[1]]);
  }
  auto kept = best_of(first_ids(0, op.num_groups), scores, op.topk_group);
  std::sort(kept.begin(), kept.end());
  std::vector<uint32_t> out;
  for (auto g : kept)
    for (auto e : first_ids(g * size, size))
      out.push_back(e);
  return out;
}

void route(const router& op, uint32_t t) {
  auto logits = load_row(op.logits, t);
  auto s = op.score == scoring::sigmoid ? sigmoid(logits) : softmax(logits);
  auto choice = s;
  if (op.bias)
    for (uint32_t e = 0; e < choice.size(); ++e)
      choice[e] += load(op.bias, 0, e);
  auto chosen = best_of(candidates(op, choice), choice, op.top_k);
  float sum = 0;
  for (auto e : chosen)
    sum += s[e];
  for (uint32_t i = 0; i < op.top_k; ++i) {
    auto e = chosen[i];
    auto part = op.normalize ? s[e] / (sum + 1e-20f) : s[e];
    host::row<int32_t>(op.experts, t)[i] = static_cast<int32_t>(e);
    host::row<float>(op.weights, t)[i] = part * op.scaling;
  }
}

} // namespace

void run(const router& op) {
  multiply(load_rows({op.x, {}}), op.w, 0,
           [&](auto t, auto e, auto sum) { store(op.logits, t, e, sum); });
  for (uint32_t t = 0; t < op.x.rows; ++t)
    route(op, t);
}

} // namespace troupe::kernels::reference
