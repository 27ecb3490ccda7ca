#pragma once

/// Records which rows a node sends to others and which arrive from them; a
/// transport does the rest.

#include "runtime/tracing/span_recorder.hpp"
#include "runtime/transport/transport_decorator.hpp"

namespace troupe {

class traced_transport final : public transport_decorator {
public:
  /// `to` outlives this.
  traced_transport(std::unique_ptr<transport> inner, span_recorder& to);

  void send(node_id to, frame_header header, body payload) override;

private:
  span_recorder& recorder_;
  span_track& sent_;
};

/// Makes frames known to `to`, which outlives the handler, as they arrive.
transport_handler traced(transport_handler x, span_recorder& to);

} // namespace troupe
