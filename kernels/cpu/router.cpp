// Scores by product, then the choice of each token in plain code.

#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/product.hpp"
#include "kernels/host/host_memory.hpp"

#include <limits>

namespace troupe::kernels::cpu {

namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

float score_of_group(const float* choice, uint32_t size, group_score how) {
  auto best = lowest;
  auto second = lowest;
  for (uint32_t i = 0; i < size; ++i) {
    second = std::max(second, std::min(best, choice[i]));
    best = std::max(best, choice[i]);
  }
  return how == group_score::best || size < 2 ? best : best + second;
}

/// Leaves the best groups of a token's choice scores, sets others to -inf.
void mask_groups(const router& op, float* choice, float* groups) {
  auto size = op.w.rows / op.num_groups;
  for (uint32_t g = 0; g < op.num_groups; ++g)
    groups[g] = score_of_group(choice + g * size, size, op.group);
  std::vector<bool> stays(op.num_groups);
  for (uint32_t i = 0; i < op.topk_group; ++i) {
    auto best = op.num_groups;
    for (uint32_t g = 0; g < op.num_groups; ++g)
      if (!stays[g] && (best == op.num_groups || groups[g] > groups[best]))
        best = g;
    stays[best] = true;
  }
  for (uint32_t g = 0; g < op.num_groups; ++g)
    if (!stays[g])
      std::fill_n(choice + g * size, size, lowest);
}

/// Picks the experts of one token. `scores` are its logits at first.
void choose(const kernel_set& kernels, const router& op, uint32_t t) {
  auto num_experts = op.w.rows;
  auto logits = host::row<float>(op.logits, t);
  std::vector<float> scores(logits, logits + num_experts);
  if (op.score == scoring::sigmoid)
    kernels.sigmoid(scores.data(), num_experts);
  else
    kernels.softmax(scores.data(), num_experts);
  auto choice = scores;
  if (op.bias)
    for (uint32_t e = 0; e < num_experts; ++e)
      choice[e] += host::row<float>(op.bias, 0)[e];
  if (op.topk_group < op.num_groups) {
    std::vector<float> groups(op.num_groups);
    mask_groups(op, choice.data(), groups.data());
  }
  auto experts = host::row<int32_t>(op.experts, t);
  auto weights = host::row<float>(op.weights, t);
  std::vector<bool> taken(num_experts);
  float sum = 0;
  for (uint32_t i = 0; i < op.top_k; ++i) {
    auto best = num_experts;
    for (uint32_t e = 0; e < num_experts; ++e)
      if (!taken[e] && (best == num_experts || choice[e] > choice[best]))
        best = e;
    taken[best] = true;
    experts[i] = int32_t(best);
    weights[i] = scores[best];
    sum += weights[i];
  }
  for (uint32_t i = 0; i < op.top_k; ++i) {
    if (op.normalize)
      weights[i] /= sum + 1e-20f;
    weights[i] *= op.scaling;
  }
}

} // namespace

void run(context& ctx, const router& op) {
  packed_shape shape(op.w);
  row_source from{{op.x, {}}, nullptr, op.x.rows};
  left_rows left(ctx, dtype::f32, shape, from.count);
  pack_rows_of(ctx, left, from);
  product what{&left, shape, host::address_of(op.w.data), op.logits, {}};
  run_products(ctx, {&what, 1});
  auto ns = uint64_t{op.w.rows} * (op.top_k + 4);
  ctx.for_each(op.x.rows, ns, [&](uint32_t t) { choose(ctx.kernels, op, t); });
}

} // namespace troupe::kernels::cpu
