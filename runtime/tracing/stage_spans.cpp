#include "runtime/tracing/stage_spans.hpp"

#include "kernels/check.hpp"

namespace troupe {

span_kind kind_of(stage x) {
  switch (x) {
    case stage::prepare:
      return span_kind::prepare;
    case stage::attention:
      return span_kind::attention;
    case stage::dense_mlp:
      return span_kind::dense_mlp;
    case stage::route:
      return span_kind::route;
    case stage::shared_expert:
      return span_kind::shared_expert;
    case stage::combine:
      return span_kind::add;
    case stage::head:
      return span_kind::head;
    case stage::dispatch:
    case stage::end:
      break;
  }
  CHECK(false); // no stream runs them
}

std::optional<stage> stage_of(span_kind x) {
  for (auto y :
       {stage::prepare, stage::attention, stage::dense_mlp, stage::route,
        stage::shared_expert, stage::combine, stage::head})
    if (kind_of(y) == x)
      return y;
  return std::nullopt;
}

} // namespace troupe
