// Holds the physical experts of one device and runs whatever rows wait.
//
//              rows_arrived             computed, none wait
//     idle --------------------> running ---------------------> idle
//                                 |   ^
//                                 +---+ computed, rows wait: next run
//
// A run has ended for this actor when it is computed. Its answers are still
// being copied and sent then, by the stream: the next run is enqueued behind
// them, so the device does not wait for us. And it does not wake us unless
// rows wait: who comes later sees for itself that the device is free.
//
// One run is one grouped GEMM: waiting rows of one layer, from whatever ranks,
// the oldest first, as many as its memory has room for; of a section that is
// longer a part. Rows that arrive meanwhile wait together.
//
// The workers of a node answer a slab together (answer_collector). If there is
// no room for the answers to the oldest rows, others run only if room was
// claimed for theirs, by another worker: so nobody waits in a circle.
//
// Whoever sent rows hears of them: answers, or rows_refused. A device that has
// failed stays so: its worker refuses everything from then on, lest it draw
// more load by failing fast, and the node ends.

#include "actors/cast.hpp"
#include "actors/rows_refusal.hpp"
#include "actors/slot_keeper.hpp"
#include "runtime/cost/cost_model.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <atomic>
#include <deque>

namespace troupe {

namespace {

/// One run in so many is timed. A step has one in each layer: a prime lets
/// layers take turns.
constexpr uint64_t one_in = 17;

struct expert_worker_state {
  static constexpr const char* name = "expert_worker";

  /// A section, of which the first `done` pairs have been run.
  struct waiting_rows {
    rows_arrived msg;
    uint32_t done = 0;

    uint32_t num_left() const {
      return static_cast<uint32_t>(msg.rows().row.size()) - done;
    }
  };

  using item = rows_in_run;
  using items = std::vector<item>;

  /// How far a run is. Either its notice finds that it is awaited, or who comes
  /// for it finds that it is computed.
  enum class progress : uint8_t {
    computing,
    awaited, ///< The same, and its notice tells us.
    computed,
  };

  node_context context;
  std::shared_ptr<node_parts> parts;
  worker_parts* worker = nullptr;
  expert_worker self;
  std::function<void()> on_room; ///< Tells us that there may be room.
  bool starved = false;          ///< on_room is to come.
  bool used = false;
  bool broken = false;         ///< The device has failed.
  span_track* spans = nullptr; ///< Null: nothing is recorded.
  std::unique_ptr<slot_keeper> keeper;
  uint64_t num_runs = 0;
  cost_model costs;
  std::optional<cost_model::run_load> timed; ///< The last run, if it was.
  /// Of each rank and micro-batch the pieces of one dispatch.
  std::deque<waiting_rows> waiting;
  /// Of the last run. Written by its notice too.
  std::shared_ptr<std::atomic<progress>> device
    = std::make_shared<std::atomic<progress>>(progress::computed);

  // -- arrival ----------------------------------------------------------------

  void arrive(const rows_arrived& msg) {
    // A rank that goes on does not wait for what it sent before.
    std::erase_if(waiting, [&](auto& x) {
      auto& old = x.msg.of.id;
      auto& now = msg.of.id;
      return old.rank == now.rank && old.micro_batch == now.micro_batch
             && old.serial != now.serial;
    });
    if (auto why = obstacle(msg))
      return refuse(msg, *why);
    if (msg.of.epoch < worker->slots.newest_epoch())
      context.counters->add(counter::sections_behind);
    waiting.push_back({msg});
    run();
  }

  void refuse(const rows_arrived& msg, rows_fault why) {
    refuse_rows(*context.here->read(), *context.log,
                {msg.from, msg.incarnation}, {msg.of, worker->id, why});
  }

  std::optional<rows_fault> obstacle(const rows_arrived& msg) const {
    if (broken)
      return rows_fault::failed_run;
    if (auto why = worker->slots.judge(msg.of.epoch, msg.of.layer, msg.rows()))
      return why;
    if (msg.view->num_rows > worker->max_staging_rows)
      return rows_fault::too_many_rows;
    return std::nullopt;
  }

  // -- a run ------------------------------------------------------------------

  void run() {
    if (broken || waiting.empty() || !is_free_or_tells())
      return;
    learn();
    auto next = take_items();
    if (next.empty())
      return;
    if (!std::exchange(used, true))
      context.counters->add(counter::workers_used);
    auto layer = next.front().msg.of.layer;
    worker->counts.runs.add(1);
    for (auto& x : next)
      worker->counts.rows.add(x.count);
    if (spans)
      worker->stream->notify([to = spans](auto&) { to->begin(); });
    auto rows = stage(next);
    auto all = group(next, rows.base);
    begin_timing({double(all.row.size()), double(all.slots.size())});
    worker->stages->run(layer, rows.all, std::move(all.row), all.slots);
    end_timing();
    if (spans)
      record(layer, next);
    *device = waiting.empty() ? progress::computing : progress::awaited;
    worker->stream->notify([to = self, device = device](auto& status) {
      if (status // else the notice behind this one says so
          && device->exchange(progress::computed) == progress::awaited)
        tell(to, run_ended{});
    });
    if (PLANTED(answer_sent_before_copied))
      send_back(std::make_shared<const items>(next));
    for (auto& p : all.pieces)
      copy_out(p, next[p.item]);
    if (!PLANTED(answer_sent_before_copied))
      send_back(std::make_shared<const items>(std::move(next)));
  }

  /// The last run is computed.
  void learn() {
    if (auto load = std::exchange(timed, std::nullopt)) {
      costs.see_run(*load, worker->timer.seconds());
      auto pair = costs.run_seconds({1, 0}) - costs.run_seconds({});
      worker->counts.pair_ps.set(uint64_t(std::max(pair, 0.0) * 1e12));
    }
  }

  void begin_timing(const cost_model::run_load& load) {
    if (++num_runs % one_in != 0)
      return;
    timed = load;
    worker->stream->notify([to = &worker->timer](auto&) { to->begin(); });
  }

  void end_timing() const {
    if (timed)
      worker->stream->notify([to = &worker->timer](auto&) { to->end(); });
  }

  /// The run that was just enqueued, and whose rows are in it.
  void record(uint16_t layer, const items& all) {
    std::vector<span> parts;
    span run;
    run.what = span_kind::run;
    run.layer = layer;
    for (auto& x : all) {
      auto& of = x.msg.of;
      span part = run;
      part.what = span_kind::rows;
      part.rank = of.id.rank;
      part.lane = of.id.micro_batch;
      part.peer = x.msg.from;
      part.step = of.step;
      part.serial = of.id.serial;
      part.amount = x.count;
      run.amount += x.count;
      parts.push_back(part);
    }
    worker->stream->notify([to = spans, run, parts = std::move(parts)](auto&) {
      to->end(run, parts);
    });
  }

  /// Whether a run may be enqueued; if not, run_ended will come.
  bool is_free_or_tells() {
    auto found = progress::computing;
    if (PLANTED(worker_not_woken))
      return *device == progress::computed;
    device->compare_exchange_strong(found, progress::awaited);
    return found == progress::computed;
  }

  /// Room for the answers to `x`: claimed already, or claimed now if nobody
  /// before it lacks room.
  slab_pool::room room_for(const waiting_rows& x) {
    if (x.msg.answers->is_claimed())
      return slab_pool::room::there;
    if (starved)
      return slab_pool::room::later;
    auto out = x.msg.answers->claim(*parts->answers, on_room);
    starved = out == slab_pool::room::later;
    return out;
  }

  /// Takes waiting rows of one layer, as many as a run has room for.
  items take_items() {
    items taken;
    uint32_t num_pairs = 0;
    uint32_t num_rows = 0;
    for (auto i = waiting.begin(); i != waiting.end();) {
      auto is_other = !taken.empty()
                      && taken.front().msg.of.layer != i->msg.of.layer;
      auto room = is_other ? slab_pool::room::later : room_for(*i);
      if (room == slab_pool::room::never) {
        refuse(i->msg, rows_fault::no_memory);
        i = waiting.erase(i);
        continue;
      }
      if (room == slab_pool::room::later) {
        ++i;
        continue;
      }
      auto n = std::min(i->num_left(), worker->max_runs - num_pairs);
      num_rows += i->msg.view->num_rows;
      if (n == 0 || num_rows > worker->max_staging_rows)
        break;
      taken.push_back({i->msg, i->done, n});
      num_pairs += n;
      i->done += n;
      i = i->num_left() == 0 ? waiting.erase(i) : i + 1;
    }
    return taken;
  }

  /// Rows of a run on the device.
  struct staged {
    std::vector<uint32_t> base; ///< [items]: the first staging row of each.
    kernels::activation all;
  };

  /// Copies the rows to the device.
  staged stage(const items& all) {
    uint64_t row_bytes = parts->dispatch_layout.row_bytes();
    staged out;
    uint32_t num_rows = 0;
    for (auto& x : all) {
      auto rows = x.msg.view->rows;
      out.base.push_back(num_rows);
      worker->stream->enqueue(kernels::copy_in{
        rows.data(), worker->staging.slice(num_rows * row_bytes, rows.size()),
        x.msg.slab.owner()});
      num_rows += x.msg.view->num_rows;
    }
    out.all = parts->dispatch_layout.view(worker->staging, num_rows);
    return out;
  }

  /// Where a piece of an item's output comes to lie in the run's output.
  struct piece {
    uint32_t item = 0;
    uint32_t from = 0; ///< Output row of the run.
    uint32_t to = 0;   ///< Pair of the section.
    uint32_t count = 0;
  };

  struct grouped {
    std::vector<uint32_t> row; ///< Staging row of each (row, expert) pair.
    std::vector<slot_rows> slots;
    std::vector<piece> pieces;
  };

  /// Merges the items: slots ascending, items in order within a slot.
  static grouped group(const items& all, const std::vector<uint32_t>& base) {
    grouped merged;
    std::vector<std::pair<uint32_t, piece>> by_slot;
    for (uint32_t i = 0; i < all.size(); ++i)
      for (auto& s : all[i].msg.rows().slots) {
        auto first = std::max(s.first, all[i].from);
        auto last = std::min(s.first + s.count, all[i].from + all[i].count);
        if (first < last)
          by_slot.push_back({s.slot, {i, 0, first, last - first}});
      }
    std::ranges::stable_sort(by_slot, {}, [](auto& x) { return x.first; });
    for (auto& [slot, x] : by_slot) {
      x.from = static_cast<uint32_t>(merged.row.size());
      auto& row = all[x.item].msg.rows().row;
      for (uint32_t k = 0; k < x.count; ++k)
        merged.row.push_back((PLANTED(rows_of_another_rank) ? 0 : base[x.item])
                             + row[x.to + k]);
      if (merged.slots.empty() || merged.slots.back().slot != slot)
        merged.slots.push_back({slot, x.from, 0});
      merged.slots.back().count += x.count;
      add(x, merged.pieces);
    }
    return merged;
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

  /// Copies a piece of the output to the frames of its slab's answers.
  void copy_out(const piece& p, const item& x) {
    uint64_t row_bytes = parts->combine_row_bytes;
    auto& answers = *x.msg.answers;
    answers.for_each_place(x.msg.section, p.to, p.count,
                           [&](std::byte* to, uint32_t row, uint32_t count) {
                             auto from = p.from + (row - p.to);
                             worker->stream->enqueue(kernels::copy_out{
                               worker->stages->output().mem.slice(
                                 from * row_bytes, count * row_bytes),
                               to, x.msg.answers});
                           });
  }

  /// The notice sends: answers leave without another turn of this actor.
  void send_back(const std::shared_ptr<const items>& all) {
    worker->stream->notify([to = self, net = context.net, all](auto& status) {
      if (!status && !PLANTED(failed_run_answered))
        return tell(to, run_ended{status.failure, all});
      for (auto& x : *all)
        x.msg.answers->written(x.msg.section, x.from, x.count, [&](body slab) {
          auto header = header_of(frame_class::combine, x.msg.of);
          header.destination = x.msg.incarnation;
          net->send(x.msg.from, header, std::move(slab));
        });
    });
  }

  // -- what its slots hold ----------------------------------------------------

  void change(const change_slots& msg) {
    // What was planned with an older placement nobody waits for.
    if (msg.step == slots_step::retire)
      std::erase_if(waiting,
                    [&](auto& x) { return x.msg.of.epoch < msg.epoch; });
    keeper->change(msg);
  }

  // -- its end ----------------------------------------------------------------

  void end(const run_ended& msg) {
    if (!msg.failure.empty())
      return give_up(*msg.rows, msg.failure);
    run();
  }

  void give_up(const items& ended, const std::string& why) {
    for (auto& x : ended)
      refuse(x.msg, rows_fault::failed_run);
    if (std::exchange(broken, true))
      return; // of a run behind the one that failed
    for (auto& x : std::exchange(waiting, {}))
      refuse(x.msg, rows_fault::failed_run);
    tell(context.here->read()->supervisor,
         part_failed{"worker " + std::to_string(worker->id) + ": " + why});
  }

  void retry() {
    starved = false;
    run();
  }

  /// Nobody waits for rows of a rank in a process that is gone.
  void lose(const node_lost& msg) {
    std::erase_if(waiting, [&](auto& x) {
      return x.msg.from == msg.node && x.msg.incarnation == msg.incarnation;
    });
  }
};

expert_worker::behavior_type expert_worker_behavior(
  expert_worker::stateful_pointer<expert_worker_state> self,
  const node_context& context, std::shared_ptr<node_parts> parts,
  worker_parts* worker) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.worker = worker;
  worker->timer.set_time([time = &self->clock()] { return time->now(); });
  if (context.spans)
    state.spans = &context.spans->open(track_kind::worker, worker->id);
  state.self = self;
  state.keeper = std::make_unique<slot_keeper>(context, state.parts, *worker,
                                               state.self);
  state.on_room = [me = weak_handle{expert_worker{self}}] {
    me.tell(room_made{});
  };
  return {
    [=](const rows_arrived& msg) { self->state.arrive(msg); },
    [=](const run_ended& msg) { self->state.end(msg); },
    [=](const change_slots& msg) { self->state.change(msg); },
    [=](const experts_loaded& msg) { self->state.keeper->take(msg); },
    [=](const slots_unused& msg) { self->state.keeper->empty(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](room_made) { self->state.retry(); },
  };
}

} // namespace

expert_worker
spawn_expert_worker(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts, worker_parts& worker) {
  return system.spawn(expert_worker_behavior, context, std::move(parts),
                      &worker);
}

} // namespace troupe
