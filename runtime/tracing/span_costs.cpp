#include "runtime/tracing/span_costs.hpp"

#include "runtime/as_seconds.hpp"
#include "runtime/tracing/flights.hpp"
#include "runtime/tracing/stage_spans.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {

/// By rank and lane its steps, by end.
using steps = std::map<std::pair<uint16_t, uint8_t>, std::vector<span>>;

steps steps_of(const node_spans& node) {
  steps out;
  for (auto& track : node.tracks)
    for (auto& x : track.spans)
      if (x.what == span_kind::step)
        out[{x.rank, x.lane}].push_back(x);
  return out;
}

/// Rows of the step that `x` is a stage of; 0 if it is not recorded.
double rows_of(const span& x, const steps& in) {
  auto lane = in.find({x.rank, x.lane});
  if (lane == in.end())
    return 0;
  auto i = std::ranges::lower_bound(lane->second, x.end, {}, &span::end);
  return i == lane->second.end() || i->begin > x.begin ? 0 : i->amount;
}

void learn(const node_spans& node, cost_model& to) {
  auto steps = steps_of(node);
  for (auto& track : node.tracks)
    for (auto& x : track.spans) {
      auto took = as_seconds(x.end - x.begin);
      if (x.what == span_kind::run)
        to.see_run({double(x.amount), 0}, took);
      auto what = stage_of(x.what);
      if (!what)
        continue;
      step_load load;
      load.absorbed.rows = *what == stage::head ? x.amount : rows_of(x, steps);
      if (load.absorbed.rows > 0)
        to.see(*what, load, took);
    }
}

} // namespace

cost_model learn_costs(const std::vector<node_spans>& all) {
  cost_model out{1};
  for (auto& node : all)
    learn(node, out);
  for (auto& x : match_flights(all).flights)
    out.see_frame(x.of.amount, as_seconds(x.arrived - x.sent));
  return out;
}

} // namespace troupe
