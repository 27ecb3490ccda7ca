// Runs the stages of one data-parallel rank. Decides nothing: step_walk says
// what to enqueue, to send and to wait for, and this carries it out.

#include "actors/cast.hpp"
#include "actors/rank_spans.hpp"
#include "runtime/cluster/absent_workers.hpp"
#include "runtime/cluster/repair_plan.hpp"
#include "runtime/dispatch/dispatch_planner.hpp"
#include "runtime/pipeline/step_walk.hpp"
#include "runtime/planted.hpp"

namespace troupe {

namespace {

/// Steps that workers refuse since they know another placement begin again, but
/// not for ever.
constexpr uint32_t most_excused = 64;

struct attention_state {
  static constexpr const char* name = "attention";

  node_context context;
  std::shared_ptr<node_parts> parts;
  rank_parts* rank = nullptr;
  local_scheduler scheduler;
  attention self;
  std::function<clock::instant()> now;
  std::unique_ptr<stage_table> table;
  std::unique_ptr<step_walk> walk;
  std::unique_ptr<dispatch_planner> planner;
  using serials = std::array<std::atomic<uint32_t>, step_walk::max_lanes>;
  /// By lane the last one whose rows have left. Written by notices.
  std::shared_ptr<serials> left = std::make_shared<serials>();
  /// By lane whether the scheduler wants to hear of layers.
  std::array<bool, step_walk::max_lanes> tells_layers = {};
  lane_set of_nothing = 0; ///< Whose last steps failed, or followed such ones.
  /// By lane where its rows are copied: beside others' stages, or between its
  /// own. Null once a step has ended well.
  std::array<kernels::stream*, step_walk::max_lanes> copies = {};

  /// How long a step has waited for other nodes.
  struct absence {
    std::optional<clock::instant> since = {}; ///< Rows are away there.
    clock::instant::duration total = {};
  };

  std::array<absence, step_walk::max_lanes> away;
  rank_spans spans;
  bool has_failed = false; ///< Its stream.
  absent_workers absent;
  step_walk::placement_ptr newest; ///< Whoever is lost.
  /// Experts are waiting, and none of them comes: why. Empty: steps wait.
  std::string given_up;
  /// Where there are none nobody else will get the experts of who is lost.
  bool has_spare_slots = false;
  uint32_t epoch_said = 0; ///< That the placer was told is all we plan with.
  bool is_excused = false; ///< What fails now may be tried again.
  /// Refusals that were excused, since a step has ended well.
  uint32_t num_excused = 0;

  // -- actions ----------------------------------------------------------------

  void carry_out(const walk_actions& actions) {
    using kind = walk_action::kind;
    for (auto& x : actions)
      switch (x.what) {
        case kind::run:
          run_stages(x);
          break;
        case kind::notify:
          rank->stream->notify([to = self, s = x.serial](auto& status) {
            tell(to, stage_ended{s, status.failure});
          });
          break;
        case kind::dispatch:
          if (walk->step_is_out(x.lane)) // one that it follows may have failed
            dispatch(x);
          break;
        case kind::land: // by whoever has the answers
        case kind::back:
          break;
        case kind::end:
          end(x.lane);
          break;
        case kind::fail:
          fail(x);
          break;
      }
  }

  void run_stages(const walk_action& x) {
    if ((*table)[x.first].what == stage::combine
        && copies[x.lane] != rank->stream.get())
      rank->stream->wait(copies[x.lane]->record());
    spans.begin_stages(x.lane);
    for (auto i = x.first; i < x.last; ++i) {
      auto& stage = (*table)[i];
      run_stage(stage, x.lane);
      spans.end_stage(stage.what, x.lane, stage.layer, walk->step_of(x.lane));
    }
  }

  void run_stage(const step_stage& x, uint8_t lane) {
    auto& stages = *rank->lanes[lane];
    switch (x.what) {
      case stage::prepare:
        return stages.prepare(x.layer);
      case stage::attention:
        return stages.attention(x.layer);
      case stage::dense_mlp:
        return stages.dense_mlp(x.layer);
      case stage::route:
        return stages.route(x.layer);
      case stage::shared_expert:
        return stages.shared_expert(x.layer);
      case stage::combine:
        return stages.combine(stages.landing(), walk->plan_of(lane).row_of);
      case stage::head:
        return stages.head();
      case stage::dispatch:
      case stage::end:
        break;
    }
    CHECK(false); // the walk halts before these
  }

  void run(const run_step& msg) {
    auto& step = *msg.what;
    if (walk->num_steps() == 0)
      context.counters->add(counter::ranks_used);
    context.counters->add(counter::steps);
    away[step.lane] = {};
    // What a step that has failed left there is still to be copied.
    if (auto* left = copies[step.lane]; left && left != rank->stream.get())
      rank->stream->wait(left->record());
    spans.begin_step(step.lane, msg.times_stages);
    copies[step.lane] = msg.overlaps ? rank->copies.get() : rank->stream.get();
    // Planned behind a step that has failed meanwhile, over rows that were
    // never written: it comes to nothing, and nobody is to have any of it.
    auto own = lane_set(1u << step.lane);
    auto is_void = (step.behind & of_nothing) != 0;
    of_nothing = lane_set(is_void ? of_nothing | own : of_nothing & ~own);
    tells_layers[step.lane] = msg.tells_layers && !is_void;
    if (msg.behind.impl())
      rank->stream->wait(msg.behind);
    rank->lanes[step.lane]->begin(step.rows);
    carry_out(walk->begin(step.lane, step.behind));
  }

  // -- dispatch ---------------------------------------------------------------

  struct parcel {
    node_id to = 0;
    frame_header header;
    body slab;
    std::byte* rows = nullptr; ///< Within it.
  };

  using parcels = std::shared_ptr<std::vector<parcel>>;

  void dispatch(const walk_action& x) {
    auto of = walk->key_of(x.lane);
    if (tells_layers[x.lane]) // before it can fail: then others may be there
      tell(scheduler, layers_written{x.lane, of.layer + 1u});
    auto& plan = walk->plan_of(x.lane);
    auto layer = of.layer - parts->config.first_k_dense_replace;
    auto experts = rank->lanes[x.lane]->chosen().experts;
    planner->set_map(walk->map_of(x.lane));
    if (!planner->plan(layer, experts, rank->lanes[x.lane]->positions(), plan))
      return hold(x.lane);
    rank->chosen.add(layer, experts);
    if (auto why = walk->obstacle(x.lane))
      return carry_out(walk->fail(x.lane, *why));
    auto all = draft(plan, of);
    if (!all)
      return carry_out(walk->crowded(x.lane));
    spans.begin(*copies[x.lane]);
    for (size_t i = 0; i < plan.slabs.size(); ++i)
      pack(x.lane, plan.slabs[i], (*all)[i]);
    spans.end(*copies[x.lane], {span_kind::pack, x.lane, of.layer, of.step});
    send_when_packed(x.lane, all, x.serial);
    auto is_elsewhere = [this](auto& x) { return x.node != parts->node; };
    if (std::ranges::any_of(plan.slabs, is_elsewhere)) {
      away[x.lane].since = now();
      spans.leave(x.lane);
    }
    carry_out(walk->dispatched(x.lane));
  }

  /// An expert that its rows need is waiting, and so do they.
  void hold(uint8_t lane) {
    carry_out(given_up.empty() ? walk->held(lane)
                               : walk->fail(lane, {errc::peer_lost, given_up}));
  }

  /// Null if there is no room.
  parcels draft(const dispatch_plan& plan, const dispatch_key& of) {
    auto out = std::make_shared<std::vector<parcel>>();
    out->reserve(plan.slabs.size());
    for (auto& slab : plan.slabs) {
      auto made = draft_slab(*parts->slabs, slab,
                             parts->dispatch_layout.row_bytes());
      if (!made)
        return nullptr;
      auto header = header_of(frame_class::dispatch, of);
      header.first = slab.first;
      out->push_back({slab.node, header, made->payload, made->rows});
    }
    return out;
  }

  void pack(uint8_t lane, const slab_plan& slab, const parcel& x) {
    copies[lane]->enqueue(kernels::pack_rows{
      rank->lanes[lane]->operand(), slab.tokens, x.rows, x.slab.owner()});
    context.counters->add(counter::dispatch_bytes, x.slab.bytes().size());
  }

  /// The notice sends: rows leave without another turn of this actor.
  void send_when_packed(uint8_t lane, const parcels& all, uint32_t serial) {
    copies[lane]->notify([net = context.net, all, to = self, left = left, lane,
                          serial](auto& status) {
      if (!status)
        return tell(to, stage_ended{serial, status.failure});
      for (auto& x : *all)
        net->send(x.to, x.header,
                  PLANTED(slab_reused_early) ? body{nullptr, x.slab.bytes()}
                                             : std::move(x.slab));
      (*left)[lane].store(serial);
    });
  }

  /// A stream that has failed stays so, and its node ends: nobody hears of the
  /// steps, whose requests go on elsewhere.
  void end_stage(const stage_ended& msg) {
    if (!msg.failure.empty()) {
      has_failed = true;
      tell(
        context.here->read()->supervisor,
        part_failed{"rank " + std::to_string(rank->id) + ": " + msg.failure});
    }
    carry_out(walk->stage_ended(msg.serial, msg.failure));
    acknowledge();
  }

  // -- what comes back --------------------------------------------------------

  /// The walk checks all of a frame before any of it lands.
  void take_rows(const rows_returned& msg) {
    auto answers = read_answers(msg.slab.bytes(), parts->combine_row_bytes);
    auto actions = walk->rows(msg.of, msg.from, answers);
    for (auto& x : actions)
      if (x.what == walk_action::kind::land)
        land(*answers, msg);
      else if (x.what == walk_action::kind::back)
        come_back(msg.of);
    carry_out(actions);
  }

  /// All rows of the lane are back: it may have to wait for others now.
  void come_back(const dispatch_key& of) {
    auto& x = away[of.id.micro_batch];
    auto since = std::exchange(x.since, std::nullopt);
    if (!since)
      return;
    x.total += now() - *since;
    spans.come_back(of);
  }

  /// The row of the landing where an answer's begin.
  uint64_t place_of(const answer_section& x,
                    [[maybe_unused]] const dispatch_key& of) const {
    if (PLANTED(combine_in_arrival_order)) {
      static thread_local std::map<std::pair<rank_id, uint32_t>, uint64_t>
        come; // rows
      auto& next = come[{rank->id, of.id.serial}];
      if (next + x.count > rank->lanes[of.id.micro_batch]->landing().rows)
        next = 0; // of a company before this one
      return std::exchange(next, next + x.count);
    }
    return x.first;
  }

  void land(const answer_view& answers, const rows_returned& msg) {
    auto rows = answers.rows();
    context.counters->add(counter::combine_bytes, rows.size());
    auto lane = msg.of.id.micro_batch;
    auto to
      = rank->lanes[PLANTED(lanes_share_a_landing) ? 0 : lane]->landing().mem;
    // Between its own stages it is too short to be seen.
    auto is_seen = copies[lane] != rank->stream.get();
    if (is_seen)
      spans.begin(*copies[lane]);
    for (uint32_t i = 0; i < answers.num_sections(); ++i) {
      auto section = answers.section(i);
      uint64_t row_bytes = parts->combine_row_bytes;
      auto bytes = section.count * row_bytes;
      copies[lane]->enqueue(kernels::copy_in{
        rows.data(), to.slice(place_of(section, msg.of) * row_bytes, bytes),
        msg.slab.owner()});
      rows = rows.subspan(bytes);
    }
    if (is_seen)
      spans.end(*copies[lane],
                {span_kind::land, lane, msg.of.layer, msg.of.step});
  }

  void hear_refusal(const rows_refused& msg) {
    auto who = msg.worker == rows_refused::whole_slab
                 ? std::string{"a node"}
                 : "worker " + std::to_string(msg.worker);
    auto is_awaited = walk->awaits(msg.of);
    // Its node is about to end. Who waits for it is decided by the verdict.
    if (is_awaited && msg.why == rows_fault::failed_run
        && first().has_worker(msg.worker)) {
      avoid(first().node_of(msg.worker));
      is_excused = true;
    }
    if (is_awaited && is_of_placement(msg.why))
      is_excused = ++num_excused <= most_excused;
    carry_out(walk->refused(msg.of, who, msg.why));
    is_excused = false;
    acknowledge();
  }

  // -- ends -------------------------------------------------------------------

  void end(uint8_t lane) {
    num_excused = 0;
    copies[lane] = nullptr;
    tell(scheduler, step_ended{lane, rank->lanes[lane]->drawn(), std::nullopt,
                               false, away[lane].total, spans.timed(lane)});
  }

  void fail(const walk_action& x) {
    auto lane = x.lane;
    of_nothing |= lane_set(1u << lane);
    auto& cause = walk->cause(lane);
    context.log->warning("rank " + std::to_string(rank->id) + " step "
                         + std::to_string(walk->step_of(lane)) + ": "
                         + cause.message);
    if (has_failed)
      return;
    auto again = is_excused
                 || (cause.code == errc::peer_lost && given_up.empty());
    step_ended last{lane, nullptr, cause, again, away[lane].total};
    if (x.serial == 0)
      return tell(scheduler, std::move(last));
    // It may still write to its blocks, which are others' once it has ended.
    rank->stream->notify(
      [to = scheduler, last = std::move(last)](auto&) { tell(to, last); });
  }

  void lose(const node_lost& msg) {
    avoid(msg.node);
    if (!has_spare_slots && !can_repair(*walk->map(), absent.without_process()))
      give_up(sentence(msg));
    carry_out(walk->peer_gone(msg.node, sentence(msg)));
    acknowledge();
  }

  /// Whatever was away there has failed with the process that it was sent to.
  void take_back(const node_back& msg) {
    walk->peer_back(msg.node);
    if (absent.back(msg.node))
      turn_to_newest();
    if (can_repair(*walk->map(), absent.without_process()))
      given_up.clear(); // it may have them
    acknowledge();
  }

  /// Nobody turns to its workers any more.
  void avoid(node_id node) {
    if (absent.lost(node))
      walk->avoid(absent.nodes());
  }

  void give_up(const std::string& why) {
    given_up = why;
    carry_out(walk->give_up_waiting({errc::peer_lost, why}));
  }

  // -- placements -------------------------------------------------------------

  /// The one that the rank has begun with.
  const placement& first() const {
    return parts->map_of_rank(rank->id);
  }

  void take(const experts_given_up& msg) {
    if (msg.unit == first().unit())
      give_up(msg.why);
  }

  void take(const placement_published& msg) {
    if (msg.map->unit != first().unit() || msg.map->epoch <= newest->epoch())
      return; // who comes late may hear of one twice
    auto next = first().with(*msg.map);
    if (!next) // the others would wait for this rank for ever
      return tell(
        context.here->read()->supervisor,
        part_failed{"rank " + std::to_string(rank->id)
                    + " cannot take a placement: " + next.why().message});
    absent.placed(next->epoch());
    newest = std::make_shared<const placement>(std::move(*next));
    turn_to_newest();
    acknowledge();
  }

  /// But for who is absent.
  void turn_to_newest() {
    auto map
      = std::make_shared<const placement>(newest->left_by(absent.nodes()));
    if (map->num_waiting() == 0)
      given_up.clear();
    carry_out(walk->set_map(std::move(map)));
  }

  /// Says so once nothing is out that was planned with an older placement.
  void acknowledge() {
    auto epoch = walk->map()->epoch();
    if (epoch_said == epoch || walk->oldest_epoch() < epoch)
      return;
    epoch_said = epoch;
    auto list = context.here->read();
    placement_taken out{rank->id, epoch};
    if (list->placer)
      tell(list->placer, out);
    else if (auto i = list->peers.find(0); i != list->peers.end())
      tell(i->second, out);
  }

  void check_deadlines() {
    carry_out(walk->tick(now(), [this](uint8_t lane, uint32_t serial) {
      return (*left)[lane].load() == serial;
    }));
    acknowledge();
  }
};

attention::behavior_type
attention_behavior(attention::stateful_pointer<attention_state> self,
                   const node_context& context,
                   std::shared_ptr<node_parts> parts, rank_parts* rank,
                   local_scheduler answers_to) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.rank = rank;
  state.scheduler = std::move(answers_to);
  state.self = self;
  state.now = [self] { return self->clock().now(); };
  state.spans = {context.spans, *rank,
                 [time = &self->clock()] { return time->now(); }};
  state.table = std::make_unique<stage_table>(state.parts->config);
  step_walk::settings settings;
  settings.rank = rank->id;
  settings.node = state.parts->node;
  settings.num_lanes = static_cast<uint8_t>(rank->lanes.size());
  settings.step_timeout
    = std::chrono::milliseconds{state.parts->cluster.limits.step_timeout_ms};
  auto& first = state.first();
  state.absent.begin_with(first.epoch());
  state.has_spare_slots
    = state.parts->cluster.all_units()[first.unit()].spare_expert_slots > 0;
  state.epoch_said = first.epoch();
  state.newest = {state.parts, &first};
  state.walk = std::make_unique<step_walk>(settings, *state.table,
                                           state.newest);
  state.planner = std::make_unique<dispatch_planner>(
    first, state.parts->config.num_experts_per_tok, rank->id,
    state.parts->traffic.dispatch_rows);
  return {
    [=](const stage_ended& msg) { self->state.end_stage(msg); },
    [=](const rows_returned& msg) { self->state.take_rows(msg); },
    [=](const rows_refused& msg) { self->state.hear_refusal(msg); },
    [=](const run_step& msg) { self->state.run(msg); },
    [=](const placement_published& msg) { self->state.take(msg); },
    [=](const experts_given_up& msg) { self->state.take(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](tick) { self->state.check_deadlines(); },
  };
}

} // namespace

attention spawn_attention(caf::actor_system& system,
                          const node_context& context,
                          std::shared_ptr<node_parts> parts, rank_parts& rank,
                          local_scheduler answers_to) {
  return system.spawn(attention_behavior, context, std::move(parts), &rank,
                      std::move(answers_to));
}

} // namespace troupe
