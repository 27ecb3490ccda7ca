#include "runtime/batching/step_cost.hpp"

#include "runtime/cost/layer_work.hpp"
#include "runtime/formatted.hpp"

namespace troupe {

namespace {

/// What a row of a prompt computes in all layers, with `pairs` in attention.
double flops_of_row(const model_config& c, double pairs) {
  layer_work work{c, value_bytes::published()};
  step_load x;
  x.multi_head = {1, pairs, 1};
  auto attention = flops_of(work.prepare(x)) + flops_of(work.attention(x));
  auto experts = flops_of(work.route(1)) + flops_of(work.shared_expert(1))
                 + flops_of(work.experts(c.num_experts_per_tok, 1));
  double num_moe = c.num_moe_layers();
  return c.num_hidden_layers * attention + num_moe * experts
         + (c.num_hidden_layers - num_moe) * flops_of(work.dense_mlp(1));
}

} // namespace

step_cost step_cost::of_shapes(const model_config& config) {
  auto row = flops_of_row(config, 0);
  return {1, (flops_of_row(config, 1) - row) / row};
}

std::string to_string(const step_cost& x) {
  return formatted("a query and a key cost %.3g of a row, and %.3g of one that "
                   "decodes",
                   x.per_pair / x.per_row, x.per_decoded_pair / x.per_row);
}

uint32_t step_cost::rows_within(uint32_t first, uint32_t most,
                                double budget) const {
  uint32_t low = 0;
  auto high = most;
  while (low < high) {
    auto middle = low + (high - low + 1) / 2;
    if (of(first, middle) <= budget)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

} // namespace troupe
