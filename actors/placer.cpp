// The one writer of placements. All decisions are placement_writer's; this
// actor carries them to workers, ranks and the gateway.

#include "actors/cast.hpp"
#include "runtime/model/expert_proof.hpp"

namespace troupe {

namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

/// The placements of one unit.
struct unit_state {
  std::unique_ptr<placement_writer> decide;
  std::shared_ptr<const std::function<void(const result<uint32_t>&)>> asked;
  uint32_t last_change = 0;  ///< Number of the last one that began.
  clock::instant since = {}; ///< Likewise, when it did.
};

struct placer_state {
  static constexpr const char* name = "placer";

  node_context context;
  std::shared_ptr<const node_parts> parts;
  std::function<clock::instant()> now;
  std::vector<unit_state> units;
  struct leaver { ///< Whose experts others get.
    node_id node = 0;
    bool is_due = true; ///< To begin.
    bool has_begun = false;
    failure obstacle = {}; ///< Why it has not.
    uint64_t num_experts = 0;
    std::map<unit_id, uint32_t> changes = {}; ///< Those under way.
  };
  std::optional<leaver> leaving;
  lost_processes lost;
  gauge epoch;
  gauge waiting;
  gauge took;

  // -- events -----------------------------------------------------------------

  void change(const change_placement& msg) {
    auto unit = msg.next->unit;
    auto ok = unit >= units.size()
                ? failure{errc::invalid_input, "there is no such unit"}
              : leaving && !leaving->has_begun
                ? failure{errc::overloaded, "a node is about to leave"}
                : units[unit].decide->ask(*msg.next, now());
    if (!ok) {
      if (msg.done && *msg.done)
        (*msg.done)(ok.why());
      return;
    }
    units[unit].asked = msg.done;
    carry_out();
  }

  void step(const slots_changed& msg) {
    if (msg.worker >= parts->units_of_workers.size())
      return;
    auto unit = parts->units_of_workers[msg.worker];
    units[unit].decide->stepped(msg.change, msg.worker, msg.step, msg.failure,
                                now());
    carry_out();
  }

  void take(const placement_taken& msg) {
    if (msg.rank >= parts->units_of_ranks.size())
      return;
    auto unit = parts->units_of_ranks[msg.rank];
    units[unit].decide->taken(msg.rank, msg.epoch, now());
    carry_out();
  }

  void lose(const node_lost& msg) {
    if (leaving && leaving->node == msg.node)
      leaving.reset();
    lost.try_emplace(msg.node, msg.incarnation);
    for (auto& x : units)
      x.decide->lost(msg.node, now());
    refresh_placed();
    carry_out();
    tell_of_leaver();
  }

  void take_back(const node_back& msg) {
    lost.erase(msg.node);
    for (auto& x : units)
      x.decide->back(msg.node, now());
    refresh_placed();
    carry_out();
  }

  /// Who comes late hears of nobody who was lost before.
  void refresh_placed() {
    context.here->update([&](cast_list& list) {
      for (auto& [unit, map] : list.placed)
        map = lists(units[unit]);
    });
  }

  /// Who asks for a change knows whom the cluster has begun without.
  void show_first() {
    context.here->update([&](cast_list& list) {
      for (unit_id unit = 0; unit < units.size(); ++unit)
        list.placed[unit] = lists(units[unit]);
    });
  }

  void look_at_clock() {
    for (auto& x : units)
      x.decide->tick(now());
    carry_out();
    if (leaving && !leaving->changes.empty())
      tell_of_leaver();
  }

  // -- who leaves -------------------------------------------------------------

  void leave(const node_leaving& msg) {
    if (msg.stays) {
      leaving.reset();
      for (auto& x : units)
        x.decide->stay(msg.node, now());
      tell(context.here->read()->balancer, msg);
      return carry_out();
    }
    if (!leaving || leaving->node != msg.node)
      leaving = leaver{msg.node};
    leaving->is_due = !leaving->has_begun;
    carry_out();
    if (leaving && leaving->is_due)
      refuse_to_leave(msg.node, leaving->obstacle);
  }

  /// In all units or in none, as soon as no change is under way in any; until
  /// then none that is asked for begins. Returns whether there is more to do.
  bool begin_to_leave() {
    if (!leaving || !leaving->is_due)
      return false;
    for (auto& x : units)
      if (auto ok = x.decide->may_leave(leaving->node); !ok) {
        leaving->obstacle = ok.why();
        if (ok.why().code == errc::refused)
          refuse_to_leave(std::exchange(leaving, {})->node, ok.why());
        return false;
      }
    leaving->is_due = false;
    leaving->has_begun = true;
    leaving->num_experts = 0;
    for (auto& x : units) {
      auto begun = x.decide->leave(leaving->node, now());
      CHECK(begun);
      if (!*begun)
        continue;
      leaving->changes[x.decide->current().unit()] = x.decide->change();
      leaving->num_experts += x.decide->num_arriving();
    }
    tell_of_leaver();
    return true;
  }

  void refuse_to_leave(node_id node, const failure& why) {
    leaving_progress out{node};
    out.why = why;
    tell(context.here->read()->controller, out);
  }

  void tell_of_leaver() {
    if (!leaving || !leaving->has_begun)
      return;
    leaving_progress out{leaving->node};
    for (auto& [unit, change] : leaving->changes) {
      auto& decide = *units[unit].decide;
      if (decide.at() == placement_writer::phase::loading)
        out.left += decide.num_arriving() - decide.num_arrived();
    }
    out.done = leaving->num_experts - out.left;
    out.is_done = leaving->changes.empty();
    out.lost = lost;
    auto list = context.here->read();
    tell(list->controller, out);
    if (out.is_done) // no plan is to have copies there
      tell(list->balancer, node_leaving{leaving->node, {}, false});
  }

  bool is_of_leaver(const unit_state& of, const writer_action& x) const {
    if (!leaving)
      return false;
    auto i = leaving->changes.find(of.decide->current().unit());
    return i != leaving->changes.end() && i->second == x.change;
  }

  static std::shared_ptr<const placement_lists> lists(const unit_state& of) {
    return std::make_shared<const placement_lists>(
      of.decide->current().lists());
  }

  // -- actions ----------------------------------------------------------------

  void carry_out() {
    do
      for (auto& x : units)
        carry_out(x);
    while (begin_to_leave());
    uint32_t newest = 0, num_waiting = 0;
    for (auto& x : units) {
      newest = std::max(newest, x.decide->current().epoch());
      num_waiting += x.decide->current().num_waiting();
    }
    epoch.set(newest);
    waiting.set(num_waiting);
  }

  void carry_out(unit_state& of) {
    using kind = writer_action::kind;
    for (auto& x : of.decide->take_actions())
      switch (x.what) {
        case kind::instruct:
          instruct(of, x);
          break;
        case kind::publish:
          publish(of);
          break;
        case kind::done:
          end(of, x);
          break;
        case kind::abort:
          abort(of, x);
          break;
        case kind::give_up:
          give_up(of, x.why);
          break;
        case kind::keep:
          for (auto node : of.decide->leaving())
            refuse_to_leave(node, {errc::refused, x.why});
          break;
      }
  }

  void begin_if_new(unit_state& of, uint32_t change) {
    if (change == of.last_change)
      return;
    of.last_change = change;
    of.since = now();
    context.counters->add(counter::changes_begun);
  }

  void instruct(unit_state& of, const writer_action& x) {
    begin_if_new(of, x.change);
    change_slots out{x.change, x.worker, x.step, x.epoch, {}};
    for (auto& slot : x.slots)
      out.slots.push_back({slot, proof_of(slot)});
    auto list = context.here->read();
    if (auto i = list->workers.find(x.worker); i != list->workers.end())
      return tell(i->second, std::move(out));
    auto node = of.decide->current().node_of(x.worker);
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

  void publish(const unit_state& of) {
    placement_published out{lists(of)};
    context.here->update(
      [&](cast_list& list) { list.placed[out.map->unit] = out.map; });
    tell(context.here->read()->controller, out); // it keeps it, in a moment
    say_to_ranks(out);
    context.log->info("the placement" + name_of(of) + " is of epoch "
                      + std::to_string(out.map->epoch));
  }

  /// Nothing where there is one unit.
  std::string name_of(const unit_state& of) const {
    auto all = parts->cluster.all_units();
    return all.size() > 1 ? " of unit " + all[of.decide->current().unit()].name
                          : "";
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

  void end(unit_state& of, const writer_action& x) {
    begin_if_new(of, x.change);
    context.counters->add(counter::changes_done);
    took.set(static_cast<uint64_t>(
      duration_cast<microseconds>(now() - of.since).count()));
    if (is_of_leaver(of, x)) {
      leaving->changes.erase(of.decide->current().unit());
      tell_of_leaver();
    }
    answer(of, x.epoch);
  }

  void abort(unit_state& of, const writer_action& x) {
    begin_if_new(of, x.change);
    context.counters->add(counter::changes_aborted);
    context.log->warning("a change of the placement" + name_of(of)
                         + " was given up: " + x.why);
    failure why{errc::step_failed, "the change was given up: " + x.why};
    if (is_of_leaver(of, x)) {
      leaving->changes.erase(of.decide->current().unit());
      leaving->has_begun = false; // until the controller asks again
      return refuse_to_leave(leaving->node, why);
    }
    answer(of, why);
  }

  /// Of a repair nobody hears.
  static void answer(unit_state& of, const result<uint32_t>& what) {
    if (auto done = std::exchange(of.asked, nullptr); done && *done)
      (*done)(what);
  }

  void give_up(const unit_state& of, const std::string& why) {
    auto text = why + name_of(of);
    context.log->error(text);
    say_to_ranks(experts_given_up{text, of.decide->current().unit()});
  }
};

placer::behavior_type
placer_behavior(placer::stateful_pointer<placer_state> self,
                const node_context& context,
                std::shared_ptr<const node_parts> parts) {
  auto& state = self->state;
  state.context = context;
  state.parts = std::move(parts);
  state.now = [self] { return self->clock().now(); };
  auto& cluster = state.parts->cluster;
  for (auto& unit : cluster.all_units()) {
    placement_writer::settings settings;
    for (auto r : unit.ranks)
      settings.ranks[rank_id(r)] = cluster.node_of_rank(r);
    settings.patience_of_steps = placement_writer::patience_of_steps(
      std::chrono::milliseconds{cluster.limits.step_timeout_ms});
    settings.later = cluster.later_nodes();
    auto& first = state.parts->maps.at(state.units.size());
    state.units.push_back(
      {std::make_unique<placement_writer>(first, std::move(settings)), {}});
  }
  state.epoch = {context.counters, counter::placement_epoch};
  state.waiting = {context.counters, counter::experts_waiting};
  state.took = {context.counters, counter::last_change_us};
  for (auto& x : state.units)
    state.epoch.set(
      std::max<uint64_t>(placement::first_epoch, x.decide->current().epoch()));
  if (!cluster.later_nodes().empty())
    state.show_first();
  return {
    [=](const change_placement& msg) { self->state.change(msg); },
    [=](const slots_changed& msg) { self->state.step(msg); },
    [=](const placement_taken& msg) { self->state.take(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](const node_leaving& msg) { self->state.leave(msg); },
    [=](tick) { self->state.look_at_clock(); },
  };
}

} // namespace

placer spawn_placer(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<const node_parts> parts) {
  return system.spawn(placer_behavior, context, std::move(parts));
}

} // namespace troupe
