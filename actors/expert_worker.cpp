// Holds the physical experts of one device and runs whatever rows wait.
//
//              rows_arrived              run_ended, none wait
//     idle --------------------> running ---------------------> idle
//                                 |   ^
//                                 +---+ run_ended, rows wait: next run
//
// One run is one grouped GEMM: all waiting rows of one layer, from whatever
// ranks, oldest layer first. Rows that arrive meanwhile wait together.

#include "actors/cast.hpp"

#include <algorithm>
#include <deque>

namespace troupe {

namespace {

struct expert_worker_state {
  static constexpr const char* name = "expert_worker";

  node_context context;
  std::shared_ptr<node_parts> parts;
  worker_parts* worker = nullptr;
  expert_worker self;
  bool running = false;
  bool used = false;
  std::deque<rows_arrived> waiting; ///< At most one for each rank and serial.

  static const slab_section& section_of(const rows_arrived& x) {
    return x.view->sections[x.section];
  }

  // -- arrival ----------------------------------------------------------------

  void arrive(rows_arrived msg) {
    if (!fits(msg)) {
      context.log->warning("worker " + std::to_string(worker->id)
                           + ": refused rows of rank "
                           + std::to_string(msg.id.rank)
                           + " for a layer or slot that is not here");
      return context.net->send(msg.from, header(msg), {});
    }
    waiting.push_back(std::move(msg));
    if (!running)
      run();
  }

  bool fits(const rows_arrived& msg) const {
    auto& config = parts->config;
    if (!config.is_moe(msg.layer) || msg.layer >= config.num_hidden_layers)
      return false;
    auto& slots
      = worker->shard->slots[msg.layer - config.first_k_dense_replace];
    auto& section = section_of(msg);
    return section.slots.back().slot < slots.size()
           && section.row.size() <= worker->max_runs
           && msg.view->num_rows <= worker->max_staging_rows;
  }

  // -- a run ------------------------------------------------------------------

  /// Takes the waiting rows of the oldest one's layer, as many as there is
  /// room for.
  std::vector<rows_arrived> take_layer() {
    std::vector<rows_arrived> out;
    uint64_t num_pairs = 0;
    uint64_t num_rows = 0;
    auto layer = waiting.front().layer;
    for (auto i = waiting.begin(); i != waiting.end();) {
      num_pairs += i->layer == layer ? section_of(*i).row.size() : 0;
      num_rows += i->layer == layer ? i->view->num_rows : 0;
      if (num_pairs > worker->max_runs || num_rows > worker->max_staging_rows)
        break;
      if (i->layer != layer) {
        ++i;
        continue;
      }
      out.push_back(std::move(*i));
      i = waiting.erase(i);
    }
    return out;
  }

  void run() {
    running = true;
    auto items = take_layer();
    std::vector<uint32_t> base; ///< First staging row of each item.
    uint32_t num_rows = 0;
    for (auto& x : items) {
      base.push_back(num_rows);
      stage(x, num_rows);
      num_rows += x.view->num_rows;
    }
    auto x = parts->dispatch_layout.view(worker->staging, num_rows);
    grouped all = group(items, base);
    count(all.row.size());
    worker->stages->run(items.front().layer, x, all.row, all.slots);
    send_back(items, all);
  }

  /// Copies an item's rows to the device.
  void stage(const rows_arrived& x, uint32_t first) {
    uint64_t row_bytes = parts->dispatch_layout.row_bytes();
    worker->stream->enqueue(kernels::copy_in{
      x.view->rows.data(),
      worker->staging.slice(first * row_bytes, x.view->rows.size()),
      x.slab.owner()});
  }

  /// Where a piece of an item's output comes to lie in the run's output.
  struct piece {
    uint32_t item = 0;
    uint32_t from = 0; ///< Output row of the run.
    uint32_t to = 0;   ///< Output row of the item.
    uint32_t count = 0;
  };

  struct grouped {
    std::vector<uint32_t> row; ///< Staging row of each (row, expert) pair.
    std::vector<slot_rows> slots;
    std::vector<piece> pieces;
  };

  /// Merges the sections: slots ascending, items in order within a slot.
  static grouped group(const std::vector<rows_arrived>& items,
                       const std::vector<uint32_t>& base) {
    grouped out;
    std::vector<std::pair<uint32_t, piece>> parts; // by slot
    for (uint32_t i = 0; i < items.size(); ++i)
      for (auto& s : section_of(items[i]).slots)
        parts.push_back({s.slot, {i, 0, s.first, s.count}});
    std::ranges::stable_sort(parts, {}, [](auto& x) { return x.first; });
    for (auto& [slot, x] : parts) {
      x.from = static_cast<uint32_t>(out.row.size());
      auto& row = section_of(items[x.item]).row;
      for (uint32_t k = 0; k < x.count; ++k)
        out.row.push_back(base[x.item] + row[x.to + k]);
      if (out.slots.empty() || out.slots.back().slot != slot)
        out.slots.push_back({slot, x.from, 0});
      out.slots.back().count += x.count;
      add(x, out.pieces);
    }
    return out;
  }

  /// Neighbours on both sides become one piece: with one item all of them.
  static void add(const piece& x, std::vector<piece>& pieces) {
    if (!pieces.empty()) {
      auto& last = pieces.back();
      if (last.item == x.item && last.from + last.count == x.from
          && last.to + last.count == x.to) {
        last.count += x.count;
        return;
      }
    }
    pieces.push_back(x);
  }

  struct parcel {
    node_id to = 0;
    frame_header header;
    body rows;
  };

  /// No rows say that there will be none.
  void send_back(const std::vector<rows_arrived>& items, const grouped& all) {
    auto parcels = std::make_shared<std::vector<parcel>>();
    std::vector<std::byte*> start;
    uint64_t row_bytes = parts->combine_row_bytes;
    for (auto& x : items) {
      auto rows = parts->slabs->take(section_of(x).row.size() * row_bytes);
      start.push_back(rows ? rows->data.get() : nullptr);
      parcels->push_back({x.from, header(x), rows ? rows->whole() : body{}});
      if (!rows)
        context.log->error("no memory left for rows of rank "
                           + std::to_string(x.id.rank));
    }
    for (auto& p : all.pieces)
      if (start[p.item])
        worker->stream->enqueue(
          kernels::copy_out{worker->stages->output().mem.slice(
                              p.from * row_bytes, p.count * row_bytes),
                            start[p.item] + p.to * row_bytes, parcels});
    worker->stream->notify(
      [to = self, net = context.net, parcels](auto& status) {
        for (auto& x : *parcels)
          net->send(x.to, x.header, status ? x.rows : body{});
        tell(to, run_ended{status.failure});
      });
  }

  frame_header header(const rows_arrived& x) const {
    frame_header out;
    out.kind = frame_class::combine;
    out.layer = x.layer;
    auto id = x.id;
    id.worker = worker->id;
    out.id = id.pack();
    return out;
  }

  void count(uint64_t num_pairs) {
    if (!std::exchange(used, true))
      context.counters->add(counter::workers_used);
    context.counters->add(counter::grouped_runs);
    context.counters->add(counter::grouped_rows, num_pairs);
  }

  void end(const run_ended& msg) {
    running = false;
    if (!msg.failure.empty())
      context.log->error("worker " + std::to_string(worker->id) + ": "
                         + msg.failure);
    if (!waiting.empty())
      run();
  }

  /// Nobody waits for rows of a rank on a node that is gone.
  void lose(const node_lost& msg) {
    std::erase_if(waiting, [&](auto& x) { return x.from == msg.node; });
  }
};

expert_worker::behavior_type
behavior(expert_worker::stateful_pointer<expert_worker_state> self,
         const node_context& context, std::shared_ptr<node_parts> parts,
         worker_parts* worker) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.worker = worker;
  state.self = self;
  return {
    [=](const rows_arrived& msg) { self->state.arrive(msg); },
    [=](const run_ended& msg) { self->state.end(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
  };
}

} // namespace

expert_worker
spawn_expert_worker(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts, worker_parts& worker) {
  return system.spawn(behavior, context, std::move(parts), &worker);
}

} // namespace troupe
