#include "actors/frame_router.hpp"

#include "actors/rows_refusal.hpp"

namespace troupe {

void frame_router::route(node_id from, frame&& x) const {
  auto list = here_->read();
  switch (x.header.kind) {
    case frame_class::control:
      if (auto i = list->peers.find(from); i != list->peers.end())
        tell(i->second, control_arrived{from, std::move(x.payload)});
      break;
    case frame_class::dispatch:
      route_slab(*list, from, x);
      break;
    case frame_class::combine: {
      auto key = key_of(x.header);
      if (auto i = list->ranks.find(key.id.rank); i != list->ranks.end())
        tell(i->second, rows_returned{key, from, std::move(x.payload)});
      break;
    }
    case frame_class::bulk:
      route_piece(*list, from, std::move(x));
      break;
    default: // hello and heartbeat never come this far
      break;
  }
}

/// A transfer is of the rank that has asked for it, which has put its number
/// into the id.
void frame_router::route_piece(const cast_list& list, node_id from,
                               frame&& x) const {
  auto& header = x.header;
  auto to = list.schedulers.find(static_cast<rank_id>(header.id >> 48));
  if (to == list.schedulers.end())
    return log_->warning("node " + std::to_string(from)
                         + ": a chunk of a transfer that nobody asked for");
  tell(to->second, piece_came{header.source,
                              {header.id, header.step},
                              header.first,
                              std::move(x.payload)});
}

void frame_router::route_slab(const cast_list& list, node_id from,
                              const frame& x) const {
  auto key = key_of(x.header);
  process asker{from, x.header.source};
  if (!list.parts)
    return refuse_rows(
      list, *log_, asker,
      {key, rows_refused::whole_slab, rows_fault::unknown_worker});
  auto row_bytes = list.parts->dispatch_layout.row_bytes();
  auto slab = read_slab(x.payload.bytes(), row_bytes);
  if (!slab) {
    log_->warning("node " + std::to_string(from) + ": " + slab.why().message);
    return refuse_rows(
      list, *log_, asker,
      {key, rows_refused::whole_slab, rows_fault::damaged_slab});
  }
  auto view = std::make_shared<const slab_view>(std::move(*slab));
  auto answers = std::make_shared<answer_collector>(
    view->sections, x.header.first, list.parts->combine_row_bytes,
    list.parts->traffic.combine_rows);
  for (uint32_t i = 0; i < view->sections.size(); ++i) {
    auto worker = view->sections[i].worker;
    if (auto to = list.workers.find(worker); to != list.workers.end())
      tell(to->second, rows_arrived{key, from, asker.incarnation, x.payload,
                                    view, i, answers});
    else
      refuse_rows(list, *log_, asker,
                  {key, worker, rows_fault::unknown_worker});
  }
}

} // namespace troupe
