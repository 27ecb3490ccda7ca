#include "runtime/batching/step_book.hpp"

namespace troupe {

step_book::step_book(const model_config& config, const settings& x)
  : settings_(x), costs_(config), cost_(step_cost::of_shapes(config)) {
  if (x.chooses_lanes)
    lanes_ = std::make_unique<lane_choice>(x.num_lanes);
}

uint32_t step_book::lanes_for(uint32_t num_rows, bool has_prompts) {
  return lanes_ ? lanes_->lanes_for(num_rows, has_prompts)
                : settings_.num_lanes;
}

bool step_book::begin(const planned_step& x, clock::instant now) {
  auto& out = out_[x.lane];
  out = {x.cost, now, rank_times::load_of(x.rows), {}};
  shares_.began(x.lane, now);
  if (lanes_)
    lanes_->began(x.lane, now, out.load.prompt_tokens > 0);
  auto is_timed = turns_.next();
  if (is_timed)
    out.timed = step_load::of(x.rows);
  return is_timed;
}

void step_book::end(const ended_step& x, clock::instant now) {
  auto& out = out_[x.lane];
  auto own = shares_.ended(x.lane, now);
  if (!x.is_well) {
    if (lanes_)
      lanes_->dropped(now);
    return;
  }
  times_.add(out.cost, now - out.at, own);
  if (settings_.prices_requests)
    prices_.add(out.load, own);
  if (lanes_)
    lanes_->ended(x.lane, now, out.cost, x.away);
  if (x.stages)
    costs_.see(out.timed, *x.stages);
}

void step_book::rest() {
  if (lanes_)
    lanes_->rest();
}

std::optional<step_cost> step_book::news(double row) {
  costs_.see_experts(row);
  if (lanes_)
    lanes_->know(costs_.seconds_of_step());
  auto out = costs_.news();
  cost_ = out.value_or(cost_);
  return out;
}

double step_book::cost_within(duration limit) const {
  return times_.cost_within(limit).value_or(batcher::no_limit);
}

double step_book::seconds_for(uint32_t first, uint32_t count) const {
  return times_.seconds_for(cost_.of(first, count));
}

} // namespace troupe
