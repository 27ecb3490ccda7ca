#include "runtime/tracing/spans.hpp"

namespace troupe {

std::string_view to_string(span_kind x) {
  switch (x) {
    case span_kind::step:
      return "step";
    case span_kind::away:
      return "away";
    case span_kind::prepare:
      return "prepare";
    case span_kind::attention:
      return "attention";
    case span_kind::dense_mlp:
      return "dense_mlp";
    case span_kind::route:
      return "route";
    case span_kind::shared_expert:
      return "shared_expert";
    case span_kind::add:
      return "add";
    case span_kind::head:
      return "head";
    case span_kind::pack:
      return "pack";
    case span_kind::land:
      return "land";
    case span_kind::run:
      return "run";
    case span_kind::rows:
      return "rows";
    case span_kind::dispatch_sent:
      return "dispatch_sent";
    case span_kind::dispatch_arrived:
      return "dispatch_arrived";
    case span_kind::combine_sent:
      return "combine_sent";
    case span_kind::combine_arrived:
      return "combine_arrived";
  }
  return "";
}

} // namespace troupe
