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
// Only rows that are away on other nodes are waited for with a deadline. What
// this node computes, a step that has failed and is still in the stream among
// it, takes as long as it takes.
//
// Invariant: `serial` names what is waited for; whatever carries another one
// is late and is dropped.

#include "actors/cast.hpp"

#include <algorithm>
#include <set>

namespace troupe {

namespace {

enum class phase : uint8_t { idle, routing, away, ending };

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
  /// The last serial whose rows have left. Written by the stream's notices.
  std::shared_ptr<std::atomic<uint32_t>> left
    = std::make_shared<std::atomic<uint32_t>>();
  std::optional<clock::time_point> away_since; ///< Since a tick has seen it.
  std::vector<bool> returned;                  ///< [plan.workers]
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
  };

  void dispatch() {
    auto chosen = rank->stages->chosen();
    plan = plan_dispatch(parts->map,
                         layer - parts->config.first_k_dense_replace,
                         chosen.experts, parts->config.num_experts_per_tok);
    returned.assign(plan.workers.size(), false);
    auto parcels = std::make_shared<std::vector<parcel>>();
    for (auto& slab : plan.slabs) {
      if (auto i = lost.find(slab.node); i != lost.end())
        return fail({errc::peer_lost, sentence(i->second)});
      auto draft = draft_slab(*parts->slabs, slab,
                              parts->dispatch_layout.row_bytes());
      if (!draft)
        return fail(draft.why());
      rank->stream->enqueue(kernels::pack_rows{rank->stages->operand(),
                                               slab.tokens, draft->rows,
                                               draft->payload.owner()});
      context.counters->add(counter::dispatch_bytes,
                            draft->payload.bytes().size());
      parcels->push_back({slab.node, header(), draft->payload});
    }
    what = phase::away;
    away_since.reset();
    // The notice sends: rows leave without another turn of this actor.
    rank->stream->notify([net = context.net, parcels, to = self, left = left,
                          s = serial](auto& status) {
      if (!status)
        return tell(to, stage_ended{s, status.failure});
      for (auto& x : *parcels)
        net->send(x.to, x.header, x.slab);
      left->store(s);
    });
    rank->stages->shared_expert(layer); // while the rows are away
  }

  frame_header header() const {
    frame_header out;
    out.kind = frame_class::dispatch;
    out.layer = static_cast<uint16_t>(layer);
    out.step = step;
    out.id = rows_id{rank->id, rows_id::all_workers, 0, serial}.pack();
    return out;
  }

  void take_rows(const rows_returned& msg) {
    if (what != phase::away || msg.id.serial != serial || msg.layer != layer)
      return;
    auto i = std::ranges::find(plan.workers, msg.id.worker,
                               &dispatch_plan::returned::worker);
    if (i == plan.workers.end() || returned[i - plan.workers.begin()])
      return;
    auto row_bytes = uint64_t{parts->combine_row_bytes};
    if (msg.rows.bytes().empty())
      return fail({errc::step_failed, "worker " + std::to_string(i->worker)
                                        + " could not run what it was sent"});
    if (msg.rows.bytes().size() != i->count * row_bytes)
      return fail({errc::step_failed, "worker " + std::to_string(i->worker)
                                        + " returned another number of rows "
                                          "than it was sent"});
    returned[i - plan.workers.begin()] = true;
    context.counters->add(counter::combine_bytes, msg.rows.bytes().size());
    rank->stream->enqueue(
      kernels::copy_in{msg.rows.bytes().data(),
                       rank->stages->landing().mem.slice(i->first * row_bytes,
                                                         i->count * row_bytes),
                       msg.rows.owner()});
    if (std::ranges::find(returned, false) != returned.end())
      return;
    rank->stages->combine(rank->stages->landing(), std::move(plan.row_of));
    ++layer;
    advance();
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
    lost[msg.node] = msg;
    if (what != phase::away)
      return;
    for (size_t i = 0; i < plan.workers.size(); ++i)
      if (!returned[i]
          && parts->map.node_of(plan.workers[i].worker) == msg.node)
        return fail({errc::peer_lost, sentence(msg)});
  }

  /// Workers of other nodes whose rows are not back yet, as text.
  std::string missing() const {
    std::string out;
    for (size_t i = 0; i < returned.size(); ++i)
      if (!returned[i]
          && parts->map.node_of(plan.workers[i].worker) != parts->node)
        out += " " + std::to_string(plan.workers[i].worker);
    return out;
  }

  void check_deadline() {
    if (what != phase::away || left->load() != serial)
      return;
    auto late = missing();
    if (late.empty())
      return;
    if (!away_since)
      away_since = now();
    std::chrono::milliseconds limit{parts->cluster.limits.step_timeout_ms};
    if (now() - *away_since >= limit)
      fail({errc::deadline_passed,
            "no rows came back in time from worker" + late});
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
    [=](tick) { self->state.check_deadline(); },
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
