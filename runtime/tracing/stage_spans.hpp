#pragma once

/// Which spans the stages of a step are recorded as.

#include "runtime/pipeline/stage_table.hpp"
#include "runtime/tracing/spans.hpp"

#include <optional>

namespace troupe {

/// Of one that a stream runs.
span_kind kind_of(stage x);

/// The other way round.
std::optional<stage> stage_of(span_kind x);

} // namespace troupe
