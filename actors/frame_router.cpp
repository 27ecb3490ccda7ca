#include "actors/frame_router.hpp"

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
      auto id = rows_id::unpack(x.header.id);
      if (auto i = list->ranks.find(id.rank); i != list->ranks.end())
        tell(i->second, rows_returned{id, x.header.layer, x.header.first,
                                      std::move(x.payload)});
      break;
    }
    default: // hello and heartbeat never come this far
      break;
  }
}

void frame_router::route_slab(const cast_list& list, node_id from,
                              const frame& x) const {
  if (!list.parts)
    return;
  auto row_bytes = list.parts->dispatch_layout.row_bytes();
  auto slab = read_slab(x.payload.bytes(), row_bytes);
  if (!slab)
    return log_->warning("node " + std::to_string(from) + ": "
                         + slab.why().message);
  auto view = std::make_shared<const slab_view>(std::move(*slab));
  auto id = rows_id::unpack(x.header.id);
  auto first = x.header.first;
  for (uint32_t i = 0; i < view->sections.size(); ++i) {
    auto worker = list.workers.find(view->sections[i].worker);
    if (worker != list.workers.end())
      tell(worker->second,
           rows_arrived{id, from, x.header.layer, first, x.payload, view, i});
    first += view->sections[i].row.size();
  }
}

} // namespace troupe
