// The one writer of placements. All decisions are placement_writer's; this
// actor carries them to workers, ranks and the gateway.

#include "actors/cast.hpp"
#include "runtime/model/expert_proof.hpp"

namespace troupe {

namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

struct placer_state {
  static constexpr const char* name = "placer";

  node_context context;
  std::shared_ptr<const node_parts> parts;
  std::function<clock::instant()> now;
  std::unique_ptr<placement_writer> decide;
  std::shared_ptr<const std::function<void(const result<uint32_t>&)>> asked;
  uint32_t last_change = 0;  ///< Number of the last one that began.
  clock::instant since = {}; ///< Likewise, when it did.
  gauge epoch;
  gauge waiting;
  gauge took;

  // -- events -----------------------------------------------------------------

  void change(const change_placement& msg) {
    auto ok = decide->ask(*msg.next, now());
    if (!ok) {
      if (msg.done && *msg.done)
        (*msg.done)(ok.why());
      return;
    }
    asked = msg.done;
    carry_out();
  }

  void step(const slots_changed& msg) {
    decide->stepped(msg.change, msg.worker, msg.step, msg.failure, now());
    carry_out();
  }

  void take(const placement_taken& msg) {
    decide->taken(msg.rank, msg.epoch, now());
    carry_out();
  }

  void lose(const node_lost& msg) {
    decide->lost(msg.node, now());
    // Who comes late hears of nobody who was lost before.
    context.here->update([&](cast_list& list) {
      if (list.placed)
        list.placed = lists();
    });
    carry_out();
  }

  void take_back(const node_back& msg) {
    decide->back(msg.node, now());
    carry_out();
  }

  void look_at_clock() {
    decide->tick(now());
    carry_out();
  }

  std::shared_ptr<const placement_lists> lists() const {
    return std::make_shared<const placement_lists>(decide->current().lists());
  }

  // -- actions ----------------------------------------------------------------

  void carry_out() {
    using kind = writer_action::kind;
    for (auto& x : decide->take_actions())
      switch (x.what) {
        case kind::instruct:
          instruct(x);
          break;
        case kind::publish:
          publish();
          break;
        case kind::done:
          end(x);
          break;
        case kind::abort:
          abort(x);
          break;
        case kind::give_up:
          give_up(x.why);
          break;
      }
    epoch.set(decide->current().epoch());
    waiting.set(decide->current().num_waiting());
  }

  void begin_if_new(uint32_t change) {
    if (change == last_change)
      return;
    last_change = change;
    since = now();
    context.counters->add(counter::changes_begun);
  }

  void instruct(const writer_action& x) {
    begin_if_new(x.change);
    change_slots out{x.change, x.worker, x.step, x.epoch, {}};
    for (auto& slot : x.slots)
      out.slots.push_back({slot, proof_of(slot)});
    auto list = context.here->read();
    if (auto i = list->workers.find(x.worker); i != list->workers.end())
      return tell(i->second, std::move(out));
    auto node = decide->current().node_of(x.worker);
    if (auto i = list->peers.find(node); i != list->peers.end())
      tell(i->second, std::move(out));
  }

  /// By what the controller's own model has; of a company of one node, by what
  /// it has loaded.
  digest proof_of(const layer_slot& x) const {
    auto known = context.here->read()->digests;
    auto layer = parts->config.first_k_dense_replace + x.moe_layer;
    return expert_digest(known ? *known : parts->digests, layer, x.expert)
      .value_or(digest{});
  }

  void publish() {
    placement_published out{lists()};
    context.here->update([&](cast_list& list) { list.placed = out.map; });
    say_to_ranks(out);
    context.log->info("the placement is of epoch "
                      + std::to_string(out.map->epoch));
  }

  /// And to the gateway. A node passes it on to all that it has.
  template <class Message>
  void say_to_ranks(const Message& message) {
    auto list = context.here->read();
    tell(list->gateway, message);
    for (auto& [id, rank] : list->ranks)
      tell(rank, message);
    for (auto& [node, peer] : list->peers)
      if (!parts->cluster.nodes[node].ranks.empty())
        tell(peer, message);
  }

  void end(const writer_action& x) {
    begin_if_new(x.change);
    context.counters->add(counter::changes_done);
    took.set(static_cast<uint64_t>(
      duration_cast<microseconds>(now() - since).count()));
    answer(x.epoch);
  }

  void abort(const writer_action& x) {
    begin_if_new(x.change);
    context.counters->add(counter::changes_aborted);
    context.log->warning("a change of the placement was given up: " + x.why);
    answer(failure{errc::step_failed, "the change was given up: " + x.why});
  }

  /// Of a repair nobody hears.
  void answer(const result<uint32_t>& what) {
    if (auto done = std::exchange(asked, nullptr); done && *done)
      (*done)(what);
  }

  void give_up(const std::string& why) {
    context.log->error(why);
    say_to_ranks(experts_given_up{why});
  }
};

placer::behavior_type behavior(placer::stateful_pointer<placer_state> self,
                               const node_context& context,
                               std::shared_ptr<const node_parts> parts) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.now = [self] { return self->clock().now(); };
  placement_writer::settings settings;
  auto& cluster = state.parts->cluster;
  for (uint32_t r = 0; r < cluster.num_ranks(); ++r)
    settings.node_of_rank.push_back(cluster.node_of_rank(r));
  settings.patience_of_steps = placement_writer::patience_of_steps(
    std::chrono::milliseconds{cluster.limits.step_timeout_ms});
  state.decide = std::make_unique<placement_writer>(state.parts->map,
                                                    std::move(settings));
  state.epoch = {context.counters, counter::placement_epoch};
  state.waiting = {context.counters, counter::experts_waiting};
  state.took = {context.counters, counter::last_change_us};
  state.epoch.set(state.parts->map.epoch());
  return {
    [=](const change_placement& msg) { self->state.change(msg); },
    [=](const slots_changed& msg) { self->state.step(msg); },
    [=](const placement_taken& msg) { self->state.take(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](tick) { self->state.look_at_clock(); },
  };
}

} // namespace

placer spawn_placer(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<const node_parts> parts) {
  return system.spawn(behavior, context, std::move(parts));
}

} // namespace troupe
