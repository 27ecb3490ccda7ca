#include "runtime/tracing/traced_transport.hpp"

#include "runtime/dispatch/dispatch_key.hpp"

namespace troupe {

namespace {

/// Frames of rows are noted, but for those to the own node.
void note(const span_recorder& all, span_track& to, node_id peer,
          const frame_header& x, size_t bytes, span_kind dispatch,
          span_kind combine) {
  if (lane_of(x.kind) != lane::rows || peer == all.node())
    return;
  auto of = key_of(x);
  span out;
  out.begin = out.end = to.now();
  out.what = x.kind == frame_class::dispatch ? dispatch : combine;
  out.lane = of.id.micro_batch;
  out.rank = of.id.rank;
  out.layer = of.layer;
  out.peer = peer;
  out.step = of.step;
  out.serial = of.id.serial;
  out.amount = static_cast<uint32_t>(bytes);
  to.add(out);
}

} // namespace

traced_transport::traced_transport(std::unique_ptr<transport> inner,
                                   span_recorder& to)
  : transport_decorator(std::move(inner)), recorder_(to),
    sent_(to.open(track_kind::sent, 0)) {
}

void traced_transport::send(node_id to, frame_header header, body payload) {
  note(recorder_, sent_, to, header, payload.bytes().size(),
       span_kind::dispatch_sent, span_kind::combine_sent);
  inner().send(to, header, std::move(payload));
}

transport_handler traced(transport_handler x, span_recorder& to) {
  auto& track = to.open(track_kind::arrived, 0);
  x.on_frame = [&to, &track, next = std::move(x.on_frame)](node_id from,
                                                           frame&& f) {
    note(to, track, from, f.header, f.payload.bytes().size(),
         span_kind::dispatch_arrived, span_kind::combine_arrived);
    next(from, std::move(f));
  };
  return x;
}

} // namespace troupe
