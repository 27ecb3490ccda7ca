// Holds the physical experts of one device and runs whatever rows wait.
//
//              rows_arrived              run_ended, none wait
//     idle --------------------> running ---------------------> idle
//                                 |   ^
//                                 +---+ run_ended, rows wait: next run
//
// One run is one grouped GEMM: all waiting rows of one layer, from whatever
// ranks, oldest layer first, as many as there is room for. Rows that arrive
// meanwhile wait together. Rows whose answers find no room wait until answers
// before them are out.
//
// Whoever sent rows hears of them: answers, or a frame without rows.

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
  std::function<void()> on_room; ///< Tells us that there may be room.
  bool running = false;
  bool starved = false; ///< on_room is to come.
  bool used = false;
  /// Of each rank the pieces of one dispatch.
  std::deque<rows_arrived> waiting;

  static const slab_section& section_of(const rows_arrived& x) {
    return x.view->sections[x.section];
  }

  // -- arrival ----------------------------------------------------------------

  void arrive(rows_arrived msg) {
    // A rank that goes on does not wait for what it sent before.
    std::erase_if(waiting, [&](auto& x) {
      return x.id.rank == msg.id.rank && x.id.serial != msg.id.serial;
    });
    if (!fits(msg))
      return refuse(msg);
    waiting.push_back(std::move(msg));
    if (!running && !starved)
      run();
  }

  void refuse(const rows_arrived& msg) {
    context.log->warning(
      "worker " + std::to_string(worker->id) + ": refused rows of rank "
      + std::to_string(msg.id.rank) + " for a layer or slot that is not here");
    context.net->send(msg.from, header(msg, msg.first), {});
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

  /// Rows that are run, and the frames that their answers will fill.
  struct item {
    rows_arrived rows;
    std::vector<slab_pool::slab> answer;
  };

  /// Takes the waiting rows of the oldest one's layer, as many as there is
  /// room for, here and for their answers.
  std::vector<item> take_layer() {
    std::vector<item> out;
    uint64_t num_pairs = 0;
    uint64_t num_rows = 0;
    auto layer = waiting.front().layer;
    for (auto i = waiting.begin(); i != waiting.end();) {
      if (i->layer != layer) {
        ++i;
        continue;
      }
      num_pairs += section_of(*i).row.size();
      num_rows += i->view->num_rows;
      if (num_pairs > worker->max_runs || num_rows > worker->max_staging_rows)
        break;
      auto answer = claim_answer(*i);
      if (answer.empty())
        break;
      out.push_back({std::move(*i), std::move(answer)});
      i = waiting.erase(i);
    }
    return out;
  }

  std::vector<slab_pool::slab> claim_answer(const rows_arrived& x) {
    uint64_t row_bytes = parts->combine_row_bytes;
    auto out = parts->answers->take_cut(section_of(x).row.size() * row_bytes,
                                        parts->traffic.combine_rows * row_bytes,
                                        on_room);
    starved |= out.empty();
    return out;
  }

  void run() {
    auto items = take_layer();
    running = !items.empty();
    if (!running)
      return;
    std::vector<uint32_t> base; ///< First staging row of each item.
    uint32_t num_rows = 0;
    for (auto& x : items) {
      base.push_back(num_rows);
      stage(x.rows, num_rows);
      num_rows += x.rows.view->num_rows;
    }
    auto x = parts->dispatch_layout.view(worker->staging, num_rows);
    grouped all = group(items, base);
    if (!std::exchange(used, true))
      context.counters->add(counter::workers_used);
    worker->stages->run(items.front().rows.layer, x, std::move(all.row),
                        all.slots);
    send_back(items, all.pieces);
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
  static grouped group(const std::vector<item>& items,
                       const std::vector<uint32_t>& base) {
    grouped out;
    std::vector<std::pair<uint32_t, piece>> parts; // by slot
    for (uint32_t i = 0; i < items.size(); ++i)
      for (auto& s : section_of(items[i].rows).slots)
        parts.push_back({s.slot, {i, 0, s.first, s.count}});
    std::ranges::stable_sort(parts, {}, [](auto& x) { return x.first; });
    for (auto& [slot, x] : parts) {
      x.from = static_cast<uint32_t>(out.row.size());
      auto& row = section_of(items[x.item].rows).row;
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

  void send_back(const std::vector<item>& items,
                 const std::vector<piece>& pieces) {
    auto parcels = std::make_shared<std::vector<parcel>>();
    for (auto& x : items) {
      auto first = x.rows.first;
      for (auto& slab : x.answer) {
        parcels->push_back({x.rows.from, header(x.rows, first), slab.whole()});
        first += slab.bytes / parts->combine_row_bytes;
      }
    }
    for (auto& p : pieces)
      copy_out(p, items[p.item].answer, parcels);
    worker->stream->notify(
      [to = self, net = context.net, parcels](auto& status) {
        for (auto& x : *parcels)
          net->send(x.to, x.header, status ? std::move(x.rows) : body{});
        tell(to, run_ended{status.failure});
      });
  }

  /// Copies a piece of the output to the frames of its item.
  void copy_out(piece p, const std::vector<slab_pool::slab>& answer,
                const std::shared_ptr<const void>& keep_alive) {
    uint64_t row_bytes = parts->combine_row_bytes;
    auto per_frame = parts->traffic.combine_rows;
    while (p.count > 0) {
      auto at = p.to % per_frame;
      auto n = std::min(p.count, per_frame - at);
      worker->stream->enqueue(kernels::copy_out{
        worker->stages->output().mem.slice(p.from * row_bytes, n * row_bytes),
        answer[p.to / per_frame].data.get() + at * row_bytes, keep_alive});
      p.from += n;
      p.to += n;
      p.count -= n;
    }
  }

  frame_header header(const rows_arrived& x, uint64_t first) const {
    frame_header out;
    out.kind = frame_class::combine;
    out.layer = x.layer;
    auto id = x.id;
    id.worker = worker->id;
    out.id = id.pack();
    out.first = first;
    return out;
  }

  void end(const run_ended& msg) {
    running = false;
    if (!msg.failure.empty())
      context.log->error("worker " + std::to_string(worker->id) + ": "
                         + msg.failure);
    if (!waiting.empty() && !starved)
      run();
  }

  void retry() {
    starved = false;
    if (!running && !waiting.empty())
      run();
  }

  /// Nobody waits for rows of a rank on a node that is gone.
  void lose(const node_lost& msg) {
    if (!is_late(*context.here->read(), msg))
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
  state.on_room = [me = weak_handle{expert_worker{self}}] {
    me.tell(room_made{});
  };
  return {
    [=](const rows_arrived& msg) { self->state.arrive(msg); },
    [=](const run_ended& msg) { self->state.end(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](room_made) { self->state.retry(); },
  };
}

} // namespace

expert_worker
spawn_expert_worker(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts, worker_parts& worker) {
  return system.spawn(behavior, context, std::move(parts), &worker);
}

} // namespace troupe
