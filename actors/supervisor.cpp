// One per node: loads its parts, spawns its children, and ends the node when
// it is of no use any more.
//
//   waiting --welcome--> loading --parts_loaded--> ready --view_published-->
//   connecting --all peers joined--> connected --cluster_started--> serving
//                                                 ^                   |
//                                                 \--view_published--/
//
//   shut_down, a dead child, a failed device or a lost controller: over.
//
// Everybody watches the controller and the next node; the controller all.

#include "actors/batching_of.hpp"
#include "actors/cast.hpp"
#include "actors/node_loading.hpp"
#include "runtime/clock.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace troupe {

namespace {

constexpr auto tick_period = std::chrono::milliseconds{250};

/// So long a member is dialled again; by who comes while others serve longer,
/// until all of them have heard of it.
constexpr auto redial_time = std::chrono::seconds{2};
constexpr auto redial_time_of_joiner = std::chrono::seconds{10};
constexpr const char* another_process
  = "another process is that node of the cluster, or none yet";

/// Ticks between two reports that say nothing new: others sleep meanwhile.
constexpr uint32_t ticks_of_silence = 20;

/// The loads of all experts are many numbers.
constexpr uint32_t ticks_between_loads = 4;

struct supervisor_state {
  static constexpr const char* name = "supervisor";

  supervisor::pointer self = nullptr;
  node_context context;
  node_options options;
  supervisor_hooks hooks;
  std::shared_ptr<node_parts> parts;
  std::map<node_id, uint64_t> connected; ///< Their incarnations.
  std::map<node_id, uint64_t> awaited;   ///< Of the view, not connected yet.
  node_report said;                      ///< The last one.
  uint32_t silence = 0;                  ///< Ticks since then.
  uint32_t num_ticks = 0;
  bool owes_loads = false; ///< The last report was without the parts' loads.
  std::shared_ptr<const view> members; ///< Once they are published.
  uint32_t told_view = 0; ///< The last one that we said we are connected to.
  bool welcomed = false;
  bool joins_late = false; ///< The cluster served before we came.
  bool started = false;
  bool over = false;
  std::vector<caf::actor_addr> children;
  struct missed_dial {    ///< Of a member, in vain.
    clock::instant since; ///< The first time.
    failure why;
    bool is_out = false; ///< It is being dialled again.
  };
  std::map<node_id, missed_dial> missed;
  std::optional<missed_dial> refused; ///< By the controller, the first time.
  bool joins_again = false;           ///< With the next tick.

  // -- who we are -------------------------------------------------------------

  void load(const welcome& msg) {
    if (over || std::exchange(welcomed, true))
      return;
    auto cluster = parse_topology(msg.topology, "the controller's topology");
    if (!cluster || msg.node >= cluster->nodes.size())
      return end(cluster ? failure{errc::invalid_input,
                                   "the controller's topology lacks this node"}
                         : cluster.why());
    context.node = msg.node;
    joins_late = msg.is_running;
    hooks.identify(msg.node, *cluster);
    node_loading job{msg.node,         context.incarnation, *cluster,
                     options,          hooks.progress,      context.here,
                     supervisor{self}, msg.placed};
    auto& dir = options.model_dir.empty() ? msg.model_dir : options.model_dir;
    hooks.run_blocking([job, dir] { job.run(dir); });
  }

  void take(const parts_loaded& msg) {
    if (over)
      return;
    if (msg.cause)
      return end(*msg.cause);
    parts = msg.parts;
    context.net->set_max_unsent(parts->traffic.max_unsent);
    spawn_children();
    for (auto& part : parts_of(parts->digests))
      tell_controller(*context.here,
                      node_loaded{context.node, part, context.incarnation});
  }

  // -- children ---------------------------------------------------------------

  gateway_inbox front() {
    auto list = context.here->read();
    return list->gateway ? gateway_inbox{list->gateway}
                         : gateway_inbox{list->peers.at(gateway_node())};
  }

  node_id gateway_node() const {
    return 0; // the controller's own; see check_fits
  }

  template <class Handle>
  Handle adopt(Handle child) {
    self->monitor(child);
    children.push_back(child.address());
    return child;
  }

  void spawn_children() {
    auto& system = self->home_system();
    cast_list all;
    if (parts->keeper)
      all.keeper = adopt(spawn_keeper(system, context, parts));
    for (auto& r : parts->ranks) {
      auto& scheduler = all.schedulers[r->id] = adopt(spawn_scheduler(
        system, context, parts, *r, batching_of(*parts), front()));
      all.ranks[r->id]
        = adopt(spawn_attention(system, context, parts, *r, scheduler));
    }
    for (auto& w : parts->workers)
      all.workers[w->id]
        = adopt(spawn_expert_worker(system, context, parts, *w));
    if (context.here->read()->controller)
      all.placer = adopt(spawn_placer(system, context, parts));
    if (all.placer && options.balance)
      all.balancer
        = adopt(spawn_balancer(system, context, parts, options.balance));
    context.here->update([&](cast_list& list) {
      list.placer = all.placer;
      list.balancer = all.balancer;
      list.keeper = all.keeper;
      list.schedulers = all.schedulers;
      list.ranks = all.ranks;
      list.workers = all.workers;
      list.parts = parts;
    });
  }

  void mourn(const caf::down_msg& msg) {
    if (over || std::ranges::find(children, msg.source) == children.end())
      return;
    end(failure{errc::step_failed, "an actor of this node has died: "
                                     + caf::to_string(msg.reason)});
  }

  // -- the others -------------------------------------------------------------

  void join(const peer_joined& msg) {
    auto list = context.here->read();
    // Also who comes late, so that it is refused and does not wait for ever.
    if (list->controller)
      tell(list->controller, node_joined{msg.node, msg.who});
    else if (msg.node == 0)
      hooks.monitor(0);
    if (!list->controller && is_stranger(msg.node, msg.who.incarnation))
      return turn_away(msg.node, msg.who.incarnation);
    connected[msg.node] = msg.who.incarnation;
    if (is_stranger(msg.node, msg.who.incarnation))
      return; // until the next view
    awaited.erase(msg.node);
    check_connected();
  }

  /// If it is in the place of somebody whom we dialled, that one is dialled
  /// again.
  void turn_away(node_id node, uint64_t incarnation) {
    part(node, incarnation);
    if (awaited.contains(node) && context.node < node)
      miss({node, {errc::refused, another_process}});
  }

  bool knows_placement(const view& x) const {
    return std::ranges::equal(x.epochs, parts->maps, {}, {}, &placement::epoch);
  }

  /// Whether the view knows another process as that node, or none.
  bool is_stranger(node_id node, uint64_t incarnation) const {
    return members
           && (node >= members->members.size()
               || members->members[node].is == member_state::absent
               || members->members[node].incarnation != incarnation);
  }

  void part(node_id node, uint64_t incarnation) {
    context.net->disconnect(node, incarnation, another_process);
  }

  void take(const view_published& msg) {
    auto& next = *msg.members;
    if (!parts || over || (members && next.number <= members->number))
      return; // no controller of ours says that
    if (!members && !knows_placement(next))
      return end(failure{errc::refused, "the controller plans with another "
                                        "placement than this node"});
    auto is_first = !std::exchange(members, msg.members);
    context.here->update([&](cast_list& list) { list.members = members; });
    context.net->set_view(members->number);
    settle_places();
    if (is_first)
      tell_of_missing();
    connect();
  }

  /// The first node lets in whoever may join; the others whom the view names.
  void settle_places() {
    if (context.here->read()->controller)
      return;
    for (size_t n = 1; n < members->members.size(); ++n) {
      auto& x = members->members[n];
      auto is_there = x.is != member_state::absent;
      hooks.settle_place(node_id(n), x.name, is_there ? x.incarnation : 0,
                         another_process);
    }
  }

  /// Who comes late was not told of those who had been lost before. At the
  /// start all are there but those that may come later.
  void tell_of_missing() {
    auto list = context.here->read();
    for (size_t n = 0; n < members->members.size(); ++n) {
      auto& x = members->members[n];
      if (n == context.node || (!joins_late && !is_absent(node_id(n))))
        continue;
      if (x.is != member_state::serving)
        tell_all(*list, not_here(node_id(n), x));
    }
  }

  /// Nodes with a smaller id dial those with a larger one.
  void connect() {
    for (auto& [node, incarnation] : std::map{connected})
      if (is_stranger(node, incarnation)) {
        if (context.here->read()->controller)
          continue; // who has let it in, or is about to answer it
        connected.erase(node);
        part(node, incarnation);
      }
    auto before = std::exchange(awaited, {});
    for (size_t n = 0; n < members->members.size(); ++n) {
      auto node = node_id(n);
      auto& x = members->members[n];
      if (n == context.node || is_absent(node) || connected.contains(node))
        continue;
      auto dialled = before.find(node);
      awaited[node] = x.incarnation;
      if (context.node < n
          && (dialled == before.end() || dialled->second != x.incarnation)) {
        missed.erase(node);
        hooks.connect(node, x.address);
      }
    }
    check_connected();
  }

  bool is_absent(node_id node) const {
    return members->members[node].is == member_state::absent;
  }

  void check_connected() {
    if (!members || !awaited.empty()
        || std::exchange(told_view, members->number) == members->number)
      return;
    watch_next();
    tell_controller(*context.here, node_connected{context.node, members->number,
                                                  context.incarnation});
  }

  /// The next node that is there, in the order of the nodes and around.
  void watch_next() {
    auto n = members->members.size();
    for (size_t i = 1; i < n; ++i)
      if (auto next = node_id((context.node + i) % n); !is_absent(next))
        return hooks.monitor(next);
  }

  /// A broken connection is evidence for the controller; without the
  /// controller a node is of no use.
  void lose_peer(const peer_gone& msg) {
    auto i = connected.find(msg.node);
    if (i == connected.end() || i->second != msg.incarnation)
      return; // we gave it up ourselves
    connected.erase(i);
    if (!is_controller(msg.node))
      suspect(msg.node, msg.incarnation, msg.why);
    else if (!over)
      end(failure{errc::peer_lost, "the controller is gone: " + msg.why});
  }

  /// What we dialled is not there. The controller never was, for us; but it may
  /// not know yet that our predecessor is dead.
  void miss(const peer_missed& msg) {
    if (is_controller(msg.node)) {
      auto now = self->clock().now();
      auto may_mend = msg.why.code == errc::refused && hooks.join_again;
      if (may_mend && !refused)
        refused = missed_dial{now, msg.why};
      if (!over && !(may_mend && now - refused->since < redial_time))
        end(
          failure{errc::peer_lost, (refused ? refused->why : msg.why).message});
      joins_again = !over;
    } else {
      auto& x = missed
                  .try_emplace(msg.node, missed_dial{self->clock().now(), {}})
                  .first->second;
      x.why = msg.why;
      x.is_out = false;
    }
  }

  /// Somebody else may have been in the way, at its door or in our place
  /// there: members are dialled again for a while before they are suspected.
  void dial_again() {
    if (std::exchange(joins_again, false))
      hooks.join_again();
    std::erase_if(missed, [&](auto& x) { return !awaited.contains(x.first); });
    for (auto& [node, x] : std::map{missed}) {
      if (x.is_out)
        continue;
      auto is_joiner = joins_late && !started;
      auto limit = is_joiner ? redial_time_of_joiner : redial_time;
      if (self->clock().now() - x.since < limit) {
        missed[node].is_out = true;
        hooks.connect(node, members->members[node].address);
        continue;
      }
      if (is_joiner) // it would stay outside for ever
        return end(x.why);
      missed.erase(node);
      suspect(node, incarnation_of(*context.here->read(), node), x.why.message);
    }
  }

  bool is_controller(node_id node) const {
    return node == 0 && !context.here->read()->controller;
  }

  void suspect(node_id node, uint64_t incarnation, const std::string& why) {
    if (over || incarnation == 0 || PLANTED(loss_not_reported))
      return;
    tell_controller(*context.here,
                    node_suspected{context.node, node, incarnation, why,
                                   context.incarnation});
  }

  void lose(const node_lost& msg) {
    if (msg.node == context.node && msg.incarnation == context.incarnation)
      return end(
        failure{errc::refused, "the controller gave up this node: " + msg.why});
    if (!welcomed && !context.here->read()->controller)
      return; // of a predecessor, whose place we have not got so far
    auto is_it = [&](auto& of) {
      auto i = of.find(msg.node);
      return i != of.end() && i->second == msg.incarnation;
    };
    auto is_known = msg.node != context.node
                    && !is_late(*context.here->read(), msg);
    auto is_connected = is_it(connected);
    if (is_connected)
      connected.erase(msg.node);
    // It may live: it is to hear why nobody speaks to it.
    if (is_known || is_connected)
      context.net->disconnect(msg.node, msg.incarnation, msg.why);
    auto is_awaited = is_it(awaited);
    if (is_awaited)
      awaited.erase(msg.node);
    // Before the view any loss is the end of the start, whoever came since.
    if (!started && !joins_late && (is_known || !members))
      return end(failure{errc::peer_lost, "node " + msg.name
                                            + " was lost while the cluster "
                                              "was starting: "
                                            + msg.why});
    if (!is_known || !members)
      return; // of a process that was in no view, or that has a successor
    if (!context.here->read()->controller)
      hooks.settle_place(msg.node, msg.name, 0, sentence(msg));
    if (is_awaited)
      check_connected();
    auto list = *context.here->read();
    if (PLANTED(loss_not_told_to_ranks))
      list.ranks.clear();
    if (PLANTED(loss_not_told_to_gateway))
      list.gateway = gateway{};
    tell_all(list, msg);
  }

  void take_back(const node_back& msg) {
    if (!members || over || msg.node == context.node)
      return;
    tell_all(*context.here->read(), msg);
  }

  // -- time -------------------------------------------------------------------

  void start() {
    started = true;
    tell(context.here->read()->gateway, cluster_started{});
    if (hooks.on_started)
      hooks.on_started();
  }

  void beat() {
    if (over)
      return;
    tell_later(self, supervisor{self}, tick_period, tick{});
    dial_again();
    if (!parts)
      return;
    auto list = context.here->read();
    tell_all(*list, tick{});
    report();
  }

  void report() {
    node_report now{context.node, context.counters->read(),
                    context.net->stats(), nullptr, context.incarnation};
    auto is_news = now.values != said.values
                   || !std::ranges::equal(now.network.frames_refused,
                                          said.network.frames_refused);
    auto is_silent = !is_news && ++silence >= ticks_of_silence;
    auto tells_loads = is_silent
                       || (++num_ticks % ticks_between_loads == 0
                           && (is_news || owes_loads));
    if (!is_news && !tells_loads)
      return;
    said = now;
    owes_loads = !tells_loads;
    if (tells_loads)
      now.loads = std::make_shared<const part_loads>(loads_of(*parts));
    silence = 0;
    tell(front(), now);
  }

  void end(const std::optional<failure>& cause) {
    if (std::exchange(over, true))
      return;
    if (cause)
      context.log->error(cause->message);
    hooks.on_end(cause);
  }

  void shut_down() {
    end(std::nullopt);
  }
};

supervisor::behavior_type
supervise(supervisor::stateful_pointer<supervisor_state> self,
          const node_context& context, const node_options& options,
          const supervisor_hooks& hooks) {
  auto& state = self->state;
  state.self = self;
  state.context = context;
  state.options = options;
  state.hooks = hooks;
  self->set_down_handler(
    [=](const caf::down_msg& msg) { self->state.mourn(msg); });
  state.beat();
  return {
    [=](const welcome& msg) { self->state.load(msg); },
    [=](const parts_loaded& msg) { self->state.take(msg); },
    [=](const part_failed& msg) {
      self->state.end(failure{errc::step_failed, msg.why});
    },
    [=](const view_published& msg) { self->state.take(msg); },
    [=](const peer_joined& msg) { self->state.join(msg); },
    [=](const peer_gone& msg) { self->state.lose_peer(msg); },
    [=](const peer_missed& msg) { self->state.miss(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](cluster_started) { self->state.start(); },
    [=](shut_down) { self->state.shut_down(); },
    [=](tick) { self->state.beat(); },
  };
}

} // namespace

supervisor spawn_supervisor(caf::actor_system& system,
                            const node_context& context, node_options options,
                            supervisor_hooks hooks) {
  return system.spawn(supervise, context, std::move(options), std::move(hooks));
}

} // namespace troupe
