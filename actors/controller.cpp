// The one writer of view and epoch. All decisions are membership's, and the
// judge's of whose tokens would be others.
//
// Once the cluster serves a node may be lost and another process come in its
// place: it is welcomed and judged like the first, the next view has it, and
// when everybody is connected everybody hears node_back.

#include "actors/kept_state.hpp"
#include "runtime/cluster/fingerprint_judge.hpp"
#include "runtime/cluster/node_drain.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Between two looks at who is to leave, and at what is to be kept.
constexpr std::chrono::milliseconds patrol{250};

struct controller_state {
  static constexpr const char* name = "controller";

  controller::pointer self = nullptr;
  node_context context;
  topology cluster;
  std::string model_dir;
  std::function<void(node_id)> monitor;
  std::shared_ptr<open_places> places; ///< Or null.
  kept_state kept;
  std::shared_ptr<const view> unpublished; ///< It is being kept; or null.
  std::shared_ptr<const placements_of_units> begins_with; ///< Or null.
  std::unique_ptr<membership> decide;
  std::unique_ptr<fingerprint_judge> judge;
  bool over = false;         ///< Whoever leaves now was told to.
  bool is_on_patrol = false; ///< A tick is on its way.
  /// To be called once nothing more is written; or null.
  std::shared_ptr<const std::function<void()>> rest_kept;
  /// Those that may come later and came before the start: they are welcomed
  /// behind it.
  std::map<node_id, node_joined> early;
  node_drain leaver;

  /// Says `message` to a node, near or far.
  template <class Message>
  void say(node_id node, const Message& message) {
    auto list = context.here->read();
    if (node == context.node)
      tell(list->supervisor, message);
    else if (auto i = list->peers.find(node); i != list->peers.end())
      tell(i->second, message);
  }

  template <class Message>
  void say_to_all(const Message& message) {
    for (size_t n = 0; n < decide->num_nodes(); ++n)
      if (auto is = decide->state_of(node_id(n));
          is != membership::state::lost && is != membership::state::absent)
        say(node_id(n), message);
  }

  /// Who came while it was written is of the next one.
  void say_view(view x) {
    view_published message{std::make_shared<const view>(std::move(x))};
    for (size_t n = 0; n < message.members->members.size(); ++n)
      if (message.members->members[n].is != member_state::absent)
        say(node_id(n), message);
  }

  /// Who comes to an open place gives it its name.
  void rename_place(const node_joined& msg) {
    if (msg.node < cluster.nodes.size() && cluster.nodes[msg.node].open
        && !decide->is_there(msg.node) && !early.contains(msg.node))
      rename_place(msg.node, msg.who.name);
  }

  void rename_place(node_id node, const std::string& name) {
    if (cluster.find(name))
      return;
    cluster.nodes[node].name = name;
    decide->rename(node, name);
  }

  /// If it was no member, it has the name again that others know, who never
  /// heard of this process.
  void free_place(node_id node, uint64_t incarnation, bool was_member,
                  bool has_left) {
    if (places)
      rename_place(node,
                   places->freed(node, incarnation, was_member, has_left));
  }

  void join(const node_joined& msg) {
    rename_place(msg);
    auto id = decide->admit(msg.who.name);
    if (!id || *id != msg.node) {
      auto why = id ? msg.who.name + " is another's name" : id.why().message;
      context.log->warning("node " + std::to_string(msg.node)
                           + " may not join: " + why);
      if (places)
        places->stayed_away(msg.node, msg.who.incarnation);
      return context.net->disconnect(msg.node, msg.who.incarnation, why);
    }
    if (places)
      places->taken(msg.node, msg.who.name, msg.who.incarnation);
    if (msg.node != context.node)
      monitor(msg.node);
    if (decide->is_early(*id)) {
      context.log->info("node " + msg.who.name + " waits for the start");
      early[msg.node] = msg;
      return;
    }
    context.log->info("node " + msg.who.name + " has joined");
    judge->forget(msg.node, msg.who.name);
    decide->joined(msg.node, msg.who);
    say(msg.node, welcome{msg.node, render(cluster), model_dir,
                          decide->is_started(), begins_with});
  }

  void load(const node_loaded& msg) {
    if (is_of_member(msg.node, msg.incarnation)
        && decide->state_of(msg.node) == membership::state::loading)
      take(judge->hear(msg.node, msg.what));
  }

  void take(const std::vector<fingerprint_judge::verdict>& verdicts) {
    for (auto& [node, refusal] : verdicts)
      if (refusal.empty())
        decide->loaded(node);
      else if (node == context.node) // nobody could be measured by it
        tell(context.here->read()->supervisor, part_failed{refusal});
      else if (decide->suspected(context.node, node,
                                 decide->incarnation_of(node))) {
        announce(node, refusal, false);
        welcome_back();
      }
    publish();
  }

  /// Nobody hears of a view that a restart of the cluster would not know of.
  void publish() {
    if (kept.is_busy() && !kept.is_stuck())
      return; // goes on behind it
    if (auto next = decide->take_view()) {
      unpublished = std::make_shared<const view>(std::move(*next));
      if (kept.is_stuck())
        return give_up(*std::exchange(unpublished, nullptr),
                       "the disk is busy with the one before");
      kept.write(self, unpublished);
    } else if (kept.has_news() && !kept.is_busy()) {
      kept.write(self, nullptr);
    }
  }

  void take(const state_kept& msg) {
    if (!kept.take(msg, self->clock().now()))
      return;
    if (auto view = std::exchange(unpublished, nullptr); view && msg.why)
      give_up(*view, msg.why->message);
    else if (view)
      say_view(decide->as_it_is(*view));
    else if (msg.why && kept.num_failures() == 1)
      context.log->error("the placement is not kept, a restart begins with one "
                         "before; it is tried again: "
                         + msg.why->message);
    publish();
    if (kept.is_behind())
      go_on_patrol();
    end_keeping();
  }

  /// The cluster has ended: nothing is to be lost that waits for the disk.
  void take(const keep_rest& msg) {
    over = true;
    rest_kept = msg.done;
    publish();
    end_keeping();
  }

  /// A write that has failed is not tried again then.
  void end_keeping() {
    if (rest_kept && !kept.is_busy())
      (*std::exchange(rest_kept, nullptr))();
  }

  /// A cluster that is started again as a whole begins with it, or with the one
  /// before if all processes die in the moment until it is written.
  void take(const placement_published& msg) {
    kept.placed(msg.map);
    publish();
  }

  /// Who would have come in has to come again; before the start nobody has.
  void give_up(const view& x, const std::string& why) {
    context.log->error(why);
    if (!decide->is_started())
      return tell(context.here->read()->supervisor, part_failed{why});
    for (size_t n = 0; n < x.members.size(); ++n)
      if (decide->state_of(node_id(n)) == membership::state::ready
          && decide->first_view_of(node_id(n)) == x.number
          && decide->suspected(context.node, node_id(n),
                               x.members[n].incarnation))
        announce(node_id(n), "the view that has it cannot be kept: " + why,
                 false);
    welcome_back();
  }

  /// Whether that process says so, and no predecessor.
  bool is_of_member(node_id node, uint64_t incarnation) const {
    return node < decide->num_nodes()
           && decide->incarnation_of(node) == incarnation;
  }

  void connect(const node_connected& msg) {
    if (!is_of_member(msg.node, msg.incarnation))
      return;
    decide->connected(msg.node, msg.view);
    if (decide->take_start())
      start();
    welcome_back();
  }

  void start() {
    say_to_all(cluster_started{});
    for (auto node : cluster.later_nodes())
      leaver.lost(node, 0); // as all have heard of it
    for (auto& [node, msg] : std::exchange(early, {}))
      join(msg);
  }

  /// Those to whom everybody is connected by now. They plan with the newest
  /// placement before anybody asks them to.
  void welcome_back() {
    for (auto node : decide->take_back()) {
      context.log->info("node " + decide->name_of(node) + " serves now");
      leaver.back(node);
      show_placement(node);
      say(node, cluster_started{});
      // Node 0, whose gateway gives it requests, when all others were told.
      node_back out{node, decide->incarnation_of(node), decide->name_of(node)};
      for (auto n = decide->num_nodes(); n-- > 0;)
        if (decide->state_of(node_id(n)) != membership::state::lost)
          say(node_id(n), out);
    }
  }

  void show_placement(node_id node) {
    auto list = context.here->read();
    auto i = list->peers.find(node);
    if (i == list->peers.end())
      return;
    for (auto& [unit, map] : list->placed)
      tell(i->second, placement_published{map});
  }

  void suspect(const node_suspected& msg) {
    if (auto i = early.find(msg.node);
        i != early.end() && i->second.who.incarnation == msg.incarnation) {
      early.erase(i);
      free_place(msg.node, msg.incarnation, false, false);
    }
    if (over || !is_of_member(msg.by, msg.by_incarnation)
        || !decide->suspected(msg.by, msg.node, msg.incarnation))
      return;
    announce(msg.node, msg.why);
    welcome_back(); // nobody waits for it any more
  }

  /// `is_known`: others may have heard of it.
  void announce(node_id node, const std::string& why, bool is_known = true) {
    node_lost verdict{node, decide->incarnation_of(node), decide->name_of(node),
                      why, leaver.gone(node, why)};
    leaver.lost(node, verdict.incarnation);
    free_place(node, verdict.incarnation,
               is_known && decide->first_view_of(node) != 0, verdict.has_left);
    // Also of one that was in no view, of which others hear nothing.
    tell(context.here->read()->gateway,
         process_over{node, verdict.incarnation});
    show_progress(); // before anybody hears
    if (verdict.has_left)
      verdict.why = "has left";
    context.log->warning(
      "node " + verdict.name
      + (verdict.has_left ? " has left" : " is lost: " + why));
    say(node, verdict); // it may be alive, and is to end
    say_to_all(verdict);
    carry_out();
  }

  // -- who leaves -------------------------------------------------------------

  void drain(const drain_node& msg) {
    auto refuse = [&](const failure& why) { (*msg.begun)(why); };
    if (over)
      return refuse({errc::refused, "the cluster ends"});
    if (!leaver.is_idle() && leaver.progress()->node == msg.name)
      return (*msg.begun)({}); // who asks again may watch it
    if (!leaver.is_idle())
      return refuse({errc::overloaded, "node " + leaver.progress()->node
                                         + " is leaving: one after the other"});
    auto node = may_leave(cluster, *decide, msg.name);
    if (!node)
      return refuse(node.why());
    context.log->warning("node " + msg.name + " is to leave");
    leaver.begin(*node, msg.name, msg.limit, self->clock().now());
    carry_out();
    (*msg.begun)({}); // by now everybody sees how far it is
    go_on_patrol();
  }

  void undrain(const undrain_node& msg) {
    auto ok = leaver.take_back(msg.name);
    carry_out();
    (*msg.done)(ok);
  }

  void hear(const leaving_progress& msg) {
    if (msg.of == leaving_progress::part::experts)
      leaver.experts(msg.node, {msg.done, msg.done + msg.left, msg.is_done,
                                msg.why, msg.lost});
    else
      leaver.requests(msg.node, {msg.left, msg.is_needed, msg.lost},
                      self->clock().now());
    carry_out();
  }

  void go_on_patrol() {
    if (!over && !std::exchange(is_on_patrol, true))
      tell_later(self, controller{self}, patrol, tick{});
  }

  void look_around() {
    is_on_patrol = false;
    auto now = self->clock().now();
    if (!leaver.is_idle()) {
      leaver.tick(now);
      carry_out();
    }
    if (!over && kept.is_due(now))
      publish();
    if (!leaver.is_idle() || kept.is_behind())
      go_on_patrol();
  }

  void carry_out() {
    using order = node_drain::order;
    show_progress(); // before a process ends that somebody looks after
    auto list = context.here->read();
    node_leaving what;
    for (auto x : leaver.take_orders()) {
      what = {leaver.node(), leaver.progress()->node, x == order::stay};
      if (x == order::move_experts || x == order::stay)
        tell(list->placer, what);
      if (x == order::move_requests || x == order::stay)
        tell(list->gateway, what);
      if (x == order::stay)
        context.log->warning(sentence(*leaver.progress()));
      if (x == order::end_node)
        say(leaver.node(), shut_down{});
      if (x == order::gone)
        suspect_leaver();
    }
  }

  void show_progress() {
    auto& now = leaver.progress();
    auto shown = context.here->read()->drain;
    if (now && (!shown || *shown != *now))
      context.here->update([&](cast_list& all) {
        all.drain = std::make_shared<const drain_progress>(*now);
      });
  }

  void suspect_leaver() {
    auto node = leaver.node();
    if (decide->suspected(context.node, node, decide->incarnation_of(node)))
      announce(node, "it was told to end, and has not");
    welcome_back(); // nobody waits for it any more
  }
};

std::vector<uint32_t> first_epochs(const topology& cluster,
                                   const placements_of_units* begins_with) {
  std::vector<uint32_t> out(cluster.all_units().size(), placement::first_epoch);
  if (begins_with)
    for (auto& x : *begins_with)
      out.at(x.unit) = x.epoch;
  return out;
}

controller::behavior_type
controller_behavior(controller::stateful_pointer<controller_state> self,
                    const node_context& context, const topology& cluster,
                    const std::string& model_dir,
                    std::function<void(node_id)> monitor,
                    std::shared_ptr<state_store> kept,
                    std::shared_ptr<const placements_of_units> begins_with,
                    std::shared_ptr<open_places> places) {
  auto& state = self->state;
  state.self = self;
  state.context = context;
  state.cluster = cluster;
  state.model_dir = model_dir;
  state.monitor = std::move(monitor);
  state.places = std::move(places);
  std::vector<std::string> names;
  for (auto& node : cluster.nodes)
    names.push_back(node.name);
  state.judge = std::make_unique<fingerprint_judge>(names);
  state.kept = kept_state{context, cluster, std::move(kept), begins_with.get()};
  state.decide = std::make_unique<membership>(
    std::move(names), state.kept.last_view(),
    first_epochs(cluster, begins_with.get()), cluster.later_nodes());
  state.begins_with = std::move(begins_with);
  return {
    [=](const node_joined& msg) { self->state.join(msg); },
    [=](const node_loaded& msg) { self->state.load(msg); },
    [=](const model_known& msg) {
      self->state.take(self->state.judge->know(*msg.digests));
    },
    [=](const node_connected& msg) { self->state.connect(msg); },
    [=](const node_suspected& msg) { self->state.suspect(msg); },
    [=](const placement_published& msg) { self->state.take(msg); },
    [=](const drain_node& msg) { self->state.drain(msg); },
    [=](const undrain_node& msg) { self->state.undrain(msg); },
    [=](const leaving_progress& msg) { self->state.hear(msg); },
    [=](const state_kept& msg) { self->state.take(msg); },
    [=](shut_down) { self->state.over = true; },
    [=](const keep_rest& msg) { self->state.take(msg); },
    [=](tick) { self->state.look_around(); },
  };
}

} // namespace

controller
spawn_controller(caf::actor_system& system, const node_context& context,
                 topology cluster, std::string model_dir,
                 std::function<void(node_id)> monitor,
                 std::shared_ptr<state_store> kept,
                 std::shared_ptr<const placements_of_units> begins_with,
                 std::shared_ptr<open_places> places) {
  return system.spawn(controller_behavior, context, std::move(cluster),
                      std::move(model_dir), std::move(monitor), std::move(kept),
                      std::move(begins_with), std::move(places));
}

} // namespace troupe
