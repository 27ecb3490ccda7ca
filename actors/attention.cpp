// Runs the stages of one data-parallel rank. Decides nothing: a step is a walk
// through the layers, and the walk halts wherever somebody else has to work.
//
//            run_step              all layers done, head enqueued
//     idle -----------> walking -----------------------------------> ending
//       ^               |     ^ combine enqueued                       |
//       |         route |     |                                        |
//       |               v     |                                        |
//       |            routing  away <--- rows_returned from each worker |
//       |               |      ^                                       |
//       |               +------+ dispatch                              |
//       +------------------------ step_ended --------------------------+
//
// If there is no room for the rows, routing becomes crowded, and each tick
// tries to dispatch again.
//
// Only rows that are away on other nodes are waited for with a deadline. What
// this node computes, a step that has failed and is still in the stream among
// it, takes as long as it takes.
//
// Invariant: `serial` names what is waited for; whatever carries another one
// is late and is dropped. Rows come back in any number of frames, those of one
// section in order.

#include "actors/cast.hpp"

#include <algorithm>
#include <set>

namespace troupe {

namespace {

enum class phase : uint8_t { idle, routing, crowded, away, ending };

struct attention_state {
  static constexpr const char* name = "attention";

  using clock = std::chrono::steady_clock;

  node_context context;
  std::shared_ptr<node_parts> parts;
  rank_parts* rank = nullptr;
  local_scheduler scheduler;
  attention self;
  std::function<clock::time_point()> now;

  phase what = phase::idle;
  uint32_t serial = 0; ///< 24 bits; of the stage that is out.
  uint32_t step = 0;
  uint32_t layer = 0;
  dispatch_plan plan;
  std::vector<uint32_t> received; ///< Rows that are back, [plan.workers].
  uint32_t num_missing = 0;       ///< Rows that are not.
  /// The last serial whose rows have left. Written by the stream's notices.
  std::shared_ptr<std::atomic<uint32_t>> left
    = std::make_shared<std::atomic<uint32_t>>();
  /// Since a tick has seen rows that are away, or cannot leave.
  std::optional<clock::time_point> away_since;
  std::map<node_id, node_lost> lost;

  // -- the walk ---------------------------------------------------------------

  void run(const run_step& msg) {
    CHECK(what == phase::idle);
    if (step++ == 0)
      context.counters->add(counter::ranks_used);
    context.counters->add(counter::steps);
    layer = 0;
    rank->stages->begin(*msg.rows);
    advance();
  }

  void advance() {
    auto& stages = *rank->stages;
    for (; layer < parts->config.num_hidden_layers; ++layer) {
      stages.attention(layer);
      if (parts->config.is_moe(layer)) {
        stages.route(layer);
        return await_stage(phase::routing);
      }
      stages.dense_mlp(layer);
    }
    stages.head();
    await_stage(phase::ending);
  }

  void await_stage(phase next) {
    what = next;
    away_since.reset();
    serial = (serial + 1) & 0xffffff;
    rank->stream->notify([to = self, s = serial](auto& status) {
      tell(to, stage_ended{s, status.failure});
    });
  }

  void end_stage(const stage_ended& msg) {
    if (msg.serial != serial || what == phase::idle)
      return;
    if (!msg.failure.empty())
      return fail({errc::step_failed, msg.failure});
    if (what == phase::routing)
      return dispatch();
    CHECK(what == phase::ending);
    auto logits = rank->stages->logits();
    end(
      {std::make_shared<const std::vector<float>>(logits.begin(), logits.end()),
       std::nullopt});
  }

  // -- dispatch and combine ---------------------------------------------------

  struct parcel {
    node_id to = 0;
    frame_header header;
    body slab;
    std::byte* rows = nullptr; ///< Within it.
  };

  void dispatch() {
    auto chosen = rank->stages->chosen();
    plan = plan_dispatch(
      parts->map, layer - parts->config.first_k_dense_replace, chosen.experts,
      parts->config.num_experts_per_tok, parts->traffic.dispatch_rows);
    received.assign(plan.workers.size(), 0);
    num_missing = static_cast<uint32_t>(chosen.experts.size());
    auto parcels = std::make_shared<std::vector<parcel>>();
    for (auto& slab : plan.slabs) {
      if (auto i = lost.find(slab.node); i != lost.end())
        return fail({errc::peer_lost, sentence(i->second)});
      auto draft = draft_slab(*parts->slabs, slab,
                              parts->dispatch_layout.row_bytes());
      if (!draft) {
        what = phase::crowded;
        return;
      }
      parcels->push_back(
        {slab.node, header(slab), draft->payload, draft->rows});
    }
    for (size_t i = 0; i < plan.slabs.size(); ++i)
      pack(plan.slabs[i], (*parcels)[i]);
    what = phase::away;
    away_since.reset();
    // The notice sends: rows leave without another turn of this actor.
    rank->stream->notify([net = context.net, parcels, to = self, left = left,
                          s = serial](auto& status) {
      if (!status)
        return tell(to, stage_ended{s, status.failure});
      for (auto& x : *parcels)
        net->send(x.to, x.header, std::move(x.slab));
      left->store(s);
    });
    rank->stages->shared_expert(layer); // while the rows are away
  }

  void pack(const slab_plan& slab, const parcel& x) {
    rank->stream->enqueue(kernels::pack_rows{
      rank->stages->operand(), slab.tokens, x.rows, x.slab.owner()});
    context.counters->add(counter::dispatch_bytes, x.slab.bytes().size());
  }

  frame_header header(const slab_plan& slab) const {
    frame_header out;
    out.kind = frame_class::dispatch;
    out.layer = static_cast<uint16_t>(layer);
    out.step = step;
    out.id = rows_id{rank->id, rows_id::all_workers, 0, serial}.pack();
    out.first = slab.first;
    return out;
  }

  void take_rows(const rows_returned& msg) {
    if (what != phase::away || msg.id.serial != serial || msg.layer != layer)
      return;
    uint64_t row_bytes = parts->combine_row_bytes;
    auto count = msg.rows.bytes().size() / row_bytes;
    if (count == 0)
      return fail({errc::step_failed, "worker " + std::to_string(msg.id.worker)
                                        + " could not run its rows"});
    auto i = part_of(msg);
    if (!i || count * row_bytes != msg.rows.bytes().size()
        || count > plan.workers[*i].count - received[*i])
      return fail({errc::step_failed, "worker " + std::to_string(msg.id.worker)
                                        + " returned other rows than it was "
                                          "sent"});
    received[*i] += static_cast<uint32_t>(count);
    num_missing -= static_cast<uint32_t>(count);
    context.counters->add(counter::combine_bytes, msg.rows.bytes().size());
    rank->stream->enqueue(
      kernels::copy_in{msg.rows.bytes().data(),
                       rank->stages->landing().mem.slice(msg.first * row_bytes,
                                                         count * row_bytes),
                       msg.rows.owner()});
    if (num_missing > 0)
      return;
    rank->stages->combine(rank->stages->landing(), std::move(plan.row_of));
    ++layer;
    advance();
  }

  /// Returns the index in plan.workers of those whose next rows these are.
  std::optional<size_t> part_of(const rows_returned& msg) const {
    auto& all = plan.workers;
    auto i = std::ranges::upper_bound(all, msg.first, {},
                                      &dispatch_plan::returned::first);
    if (i == all.begin())
      return std::nullopt;
    auto index = static_cast<size_t>(--i - all.begin());
    if (i->worker != msg.id.worker || i->first + received[index] != msg.first)
      return std::nullopt;
    return index;
  }

  /// The workers that owe us rows.
  std::set<worker_id> debtors() const {
    std::set<worker_id> out;
    for (size_t i = 0; what == phase::away && i < received.size(); ++i)
      if (received[i] < plan.workers[i].count)
        out.insert(plan.workers[i].worker);
    return out;
  }

  // -- ends -------------------------------------------------------------------

  void end(step_ended msg) {
    what = phase::idle;
    serial = (serial + 1) & 0xffffff;
    tell(scheduler, std::move(msg));
  }

  void fail(failure cause) {
    context.log->warning("rank " + std::to_string(rank->id) + " step "
                         + std::to_string(step) + " layer "
                         + std::to_string(layer) + ": " + cause.message);
    end({nullptr, std::move(cause)});
  }

  static std::string sentence(const node_lost& x) {
    return "node " + x.name + " was lost: " + x.why;
  }

  void lose(const node_lost& msg) {
    if (is_late(*context.here->read(), msg))
      return;
    lost[msg.node] = msg;
    for (auto worker : debtors())
      if (parts->map.node_of(worker) == msg.node)
        return fail({errc::peer_lost, sentence(msg)});
  }

  bool has_waited_too_long() {
    if (!away_since)
      away_since = now();
    std::chrono::milliseconds limit{parts->cluster.limits.step_timeout_ms};
    return now() - *away_since >= limit;
  }

  void check_deadline() {
    if (what != phase::away || left->load() != serial)
      return;
    std::string late;
    for (auto worker : debtors())
      if (parts->map.node_of(worker) != parts->node)
        late += " " + std::to_string(worker);
    if (late.empty())
      return;
    if (has_waited_too_long())
      fail({errc::deadline_passed,
            "no rows came back in time from worker" + late});
  }

  /// Slabs come free as other ranks' rows leave; that is waited for like rows.
  void retry() {
    if (what != phase::crowded)
      return;
    if (has_waited_too_long())
      return fail({errc::overloaded, "there was no room for the step's rows"});
    dispatch();
  }
};

attention::behavior_type
behavior(attention::stateful_pointer<attention_state> self,
         const node_context& context, std::shared_ptr<node_parts> parts,
         rank_parts* rank, local_scheduler answers_to) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.rank = rank;
  state.scheduler = std::move(answers_to);
  state.self = self;
  state.now = [self] { return self->clock().now(); };
  return {
    [=](const stage_ended& msg) { self->state.end_stage(msg); },
    [=](const rows_returned& msg) { self->state.take_rows(msg); },
    [=](const run_step& msg) { self->state.run(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](tick) {
      self->state.check_deadline();
      self->state.retry();
    },
  };
}

} // namespace

attention spawn_attention(caf::actor_system& system,
                          const node_context& context,
                          std::shared_ptr<node_parts> parts, rank_parts& rank,
                          local_scheduler answers_to) {
  return system.spawn(behavior, context, std::move(parts), &rank,
                      std::move(answers_to));
}

} // namespace troupe
