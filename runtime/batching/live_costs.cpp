#include "runtime/batching/live_costs.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

/// Steps before the first news.
constexpr uint32_t enough_steps_seen = 16;

/// What differs less is noise, and not worth that costs of steps that are out
/// cannot be compared with those of later ones.
constexpr double clearly_another = 0.25;

bool differ(double a, double b) {
  return std::abs(a - b) > clearly_another * std::max(a, b);
}

step_load load_of(double rows, double absorbed_pairs, double multi_head_rows,
                  double multi_head_pairs) {
  step_load out;
  out.absorbed = {rows, absorbed_pairs, 0};
  out.multi_head = {multi_head_rows, multi_head_pairs, multi_head_rows};
  return out;
}

/// What experts compute for a row, of what its rank does.
double share_of_experts(const model_config& c) {
  layer_work work{c, value_bytes::published()};
  auto load = load_of(1, 0, 0, 0);
  double num_moe = c.num_moe_layers();
  auto own = c.num_hidden_layers
               * (flops_of(work.prepare(load)) + flops_of(work.attention(load)))
             + num_moe
                 * (flops_of(work.route(1)) + flops_of(work.shared_expert(1)))
             + (c.num_hidden_layers - num_moe) * flops_of(work.dense_mlp(1));
  return num_moe * flops_of(work.experts(c.num_experts_per_tok, 1)) / own;
}

} // namespace

live_costs::live_costs(const model_config& config)
  : config_(config), expert_share_(share_of_experts(config)),
    said_(step_cost::of_shapes(config)) {
}

void live_costs::see(const step_load& load, const timed_stages& x) {
  auto of_head = load_of(x.logit_rows, 0, 0, 0);
  for (size_t i = 0; i < x.took.size(); ++i)
    if (x.took[i] > 0)
      model_.see(stage(i), stage(i) == stage::head ? of_head : load, x.took[i]);
  ++num_seen_;
}

/// Of the stages of a step, which is a sum of parts: so is this.
double live_costs::seconds(const step_load& x, double logit_rows) const {
  double num_moe = config_.num_moe_layers();
  double num_dense = config_.num_hidden_layers - num_moe;
  auto of = [&](stage what) { return model_.seconds(what, x); };
  return config_.num_hidden_layers * (of(stage::prepare) + of(stage::attention))
         + num_dense * of(stage::dense_mlp)
         + num_moe
             * (of(stage::route) + of(stage::shared_expert)
                + of(stage::combine))
         + model_.seconds(stage::head, load_of(logit_rows, 0, 0, 0));
}

double live_costs::seconds_of_step() const {
  return num_seen_ < enough_steps_seen ? 0 : seconds({}, 0);
}

double live_costs::with_experts(double row) const {
  if (expert_row_ > 0)
    return row + config_.num_moe_layers() * expert_row_;
  return row * (1 + expert_share_);
}

std::optional<step_cost> live_costs::news() {
  if (num_seen_ < enough_steps_seen)
    return std::nullopt;
  auto once = seconds({}, 0);
  auto price = [&](const step_load& x, double logit_rows = 0) {
    return std::max(seconds(x, logit_rows) - once, 0.0);
  };
  auto row = with_experts(price(load_of(1, 0, 0, 0), 1));
  auto prompt_row = with_experts(price(load_of(0, 0, 1, 0)));
  auto pair = price(load_of(0, 1, 0, 0));
  auto prompt_pair = price(load_of(0, 0, 0, 1));
  auto next = said_;
  if (row > 0 && pair > 0)
    next.per_decoded_pair = pair / row;
  // Short prompts attend as those do who decode.
  knows_prompts_ = knows_prompts_ || prompt_pair > 0;
  if (prompt_row > 0 && prompt_pair > 0)
    next.per_pair = prompt_pair / prompt_row;
  else if (!knows_prompts_)
    next.per_pair = next.per_decoded_pair;
  if (!differ(next.per_pair, said_.per_pair)
      && !differ(next.per_decoded_pair, said_.per_decoded_pair))
    return std::nullopt;
  said_ = next;
  return next;
}

} // namespace troupe
