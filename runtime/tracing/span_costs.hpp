#pragma once

/// What stages, runs of experts and frames take, learnt from a trace. A trace
/// knows the rows of a step, and of the head those that it computes, but not
/// what they attend to: attention counts by
/// its rows, with as many keys as these had.

#include "runtime/cost/cost_model.hpp"
#include "runtime/tracing/spans.hpp"

namespace troupe {

/// Nothing that was seen is forgotten.
cost_model learn_costs(const std::vector<node_spans>& all);

} // namespace troupe
