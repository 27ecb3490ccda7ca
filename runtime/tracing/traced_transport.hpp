#pragma once

/// Records which rows a node sends to others and which arrive from them; a
/// transport does the rest.

#include "runtime/tracing/span_recorder.hpp"
#include "runtime/transport/transport.hpp"

namespace troupe {

class traced_transport : public transport {
public:
  /// `to` outlives this.
  traced_transport(std::unique_ptr<transport> inner, span_recorder& to);

  void send(node_id to, frame_header header, body payload) override;
  void set_max_unsent(size_t bytes) override;
  void set_view(uint32_t view) override;
  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override;
  transport_stats stats() const override;

private:
  const std::unique_ptr<transport> inner_;
  span_recorder& recorder_;
  span_track& sent_;
};

/// Makes frames known to `to`, which outlives the handler, as they arrive.
transport_handler traced(transport_handler x, span_recorder& to);

} // namespace troupe
