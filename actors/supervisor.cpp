// One per node: loads its parts, spawns its children, and ends the node when
// it is of no use any more.
//
//   waiting --welcome--> loading --parts_loaded--> ready --view_published-->
//   connecting --all peers joined--> connected --cluster_started--> serving
//
//   shut_down, a dead child, a failed device or a lost controller: over.
//
// Everybody watches the controller from the first meeting on, and the next
// node; the controller watches all.

#include "actors/cast.hpp"
#include "runtime/clock.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace troupe {

namespace {

constexpr auto tick_period = std::chrono::milliseconds{250};

/// A member that is not reached is dialled again for so long.
constexpr auto redial_time = std::chrono::seconds{2};

/// Ticks between two reports that say nothing new: others sleep meanwhile.
constexpr uint32_t ticks_of_silence = 20;

/// The loads of all experts are many numbers.
constexpr uint32_t ticks_between_loads = 4;

template <class Message>
void tell_controller(const directory& here, const Message& message) {
  auto list = here.read();
  if (list->controller)
    tell(list->controller, message);
  else if (auto i = list->peers.find(0); i != list->peers.end())
    tell(i->second, message);
}

/// What loading takes, on a thread that may block.
struct loading {
  node_id node = 0;
  topology cluster;
  node_options options;
  node_progress progress;
  std::shared_ptr<directory> here;
  supervisor answers_to;

  void run(const std::string& model_dir) const {
    auto say = [this](const numerics& x) {
      tell_controller(*here, node_loaded{node, x});
    };
    auto loaded = load_node_parts(cluster, node, model_dir, options, progress,
                                  say);
    if (!loaded)
      return tell(answers_to, parts_loaded{nullptr, loaded.why()});
    tell(answers_to, parts_loaded{*loaded, std::nullopt});
    // The others load meanwhile; what they hold is measured by ours.
    auto judge = here->read()->controller;
    if (!judge || cluster.nodes.size() == 1)
      return;
    auto all = digest_model_dir(model_dir, (*loaded)->digests,
                                (*loaded)->loaded_from, options, progress);
    if (!all)
      return tell(answers_to, parts_loaded{nullptr, all.why()});
    auto known = std::make_shared<const digest_table>(std::move(*all));
    here->update([&](cast_list& list) { list.digests = known; });
    tell(judge, model_known{known});
  }
};

struct supervisor_state {
  static constexpr const char* name = "supervisor";

  supervisor::pointer self = nullptr;
  node_context context;
  node_options options;
  supervisor_hooks hooks;
  std::shared_ptr<node_parts> parts;
  std::map<node_id, uint64_t> connected; ///< Their incarnations.
  std::set<node_id> awaited;             ///< Of the view, not connected yet.
  node_report said;                      ///< The last one.
  uint32_t silence = 0;                  ///< Ticks since then.
  uint32_t num_ticks = 0;
  bool owes_loads = false; ///< The last report was without the parts' loads.
  std::shared_ptr<const view> members; ///< Once they are published.
  bool welcomed = false;
  bool started = false;
  bool over = false;
  std::vector<caf::actor_addr> children;
  /// A member that was dialled in vain.
  struct missed_dial {
    clock::instant since; ///< The first time.
    failure why;
    bool is_out = false; ///< It is being dialled again.
  };
  std::map<node_id, missed_dial> missed;

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
    hooks.identify(msg.node, *cluster);
    loading job{msg.node,       *cluster,     options,
                hooks.progress, context.here, supervisor{self}};
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
      tell_controller(*context.here, node_loaded{context.node, part});
  }

  // -- children ---------------------------------------------------------------

  gateway_inbox front() {
    auto list = context.here->read();
    if (list->gateway)
      return list->gateway;
    return list->peers.at(gateway_node());
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
    auto front_end = front();
    std::map<rank_id, local_scheduler> schedulers;
    std::map<rank_id, attention> ranks;
    std::map<worker_id, expert_worker> workers;
    for (auto& r : parts->ranks) {
      auto& scheduler = schedulers[r->id] = adopt(
        spawn_scheduler(system, context, parts, *r, batching(), front_end));
      ranks[r->id]
        = adopt(spawn_attention(system, context, parts, *r, scheduler));
    }
    for (auto& w : parts->workers)
      workers[w->id] = adopt(spawn_expert_worker(system, context, parts, *w));
    placer writes;
    if (context.here->read()->controller)
      writes = adopt(spawn_placer(system, context, parts));
    context.here->update([&](cast_list& list) {
      list.placer = writes;
      list.schedulers = schedulers;
      list.ranks = ranks;
      list.workers = workers;
      list.parts = parts;
    });
  }

  batcher_options batching() const {
    auto& limits = parts->cluster.limits;
    batcher_options out;
    out.max_num_seqs = limits.max_num_seqs;
    out.max_num_running = limits.max_num_running();
    out.max_num_batched_tokens = limits.max_num_batched_tokens;
    out.num_lanes = limits.num_lanes();
    out.cost = step_cost::of_shapes(parts->config);
    out.max_model_len = parts->cluster.max_model_len;
    out.vocab_size = parts->config.vocab_size;
    out.num_choices = parts->tokens.num_choices;
    out.eos_token_ids = parts->config.eos_token_ids;
    return out;
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
    if (is_stranger(msg.node, msg.who.incarnation)) {
      if (!list->controller)
        part(msg.node, msg.who.incarnation);
      return;
    }
    connected[msg.node] = msg.who.incarnation;
    awaited.erase(msg.node);
    check_connected();
  }

  bool knows_placement(const view& x) const {
    auto unit = parts->map.unit();
    return unit < x.epochs.size() && x.epochs[unit] == parts->map.epoch();
  }

  /// Whether the view knows another process as that node.
  bool is_stranger(node_id node, uint64_t incarnation) const {
    return members
           && (node >= members->members.size()
               || members->members[node].incarnation != incarnation);
  }

  void part(node_id node, uint64_t incarnation) {
    context.net->disconnect(node, incarnation,
                            "another process is that node of the cluster");
  }

  /// Nodes with a smaller id dial those with a larger one.
  void connect(const view_published& msg) {
    if (!parts || members || over)
      return; // no controller of ours says that
    if (!knows_placement(*msg.members))
      return end(failure{errc::refused, "the controller plans with another "
                                        "placement than this node"});
    members = msg.members;
    context.here->update([&](cast_list& list) { list.members = members; });
    context.net->set_view(members->number);
    for (auto& [node, incarnation] : std::map{connected})
      if (is_stranger(node, incarnation)) {
        connected.erase(node);
        part(node, incarnation);
      }
    for (size_t n = 0; n < members->members.size(); ++n) {
      if (n == context.node || connected.contains(node_id(n)))
        continue;
      awaited.insert(node_id(n));
      if (context.node < n)
        hooks.connect(node_id(n), members->members[n].address);
    }
    check_connected();
  }

  void check_connected() {
    if (!members || !awaited.empty())
      return;
    auto next = node_id((context.node + 1u) % parts->cluster.nodes.size());
    if (next != context.node)
      hooks.monitor(next);
    tell_controller(*context.here, node_connected{context.node});
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

  /// What we dialled is not there. The controller never was, for us.
  void miss(const peer_missed& msg) {
    if (is_controller(msg.node)) {
      if (!over)
        end(failure{errc::peer_lost, msg.why.message});
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
    std::erase_if(missed, [&](auto& x) { return !awaited.contains(x.first); });
    for (auto& [node, x] : std::map{missed}) {
      if (x.is_out)
        continue;
      if (self->clock().now() - x.since < redial_time) {
        missed[node].is_out = true;
        hooks.connect(node, members->members[node].address);
        continue;
      }
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
                    node_suspected{context.node, node, incarnation, why});
  }

  void lose(const node_lost& msg) {
    if (msg.node == context.node && msg.incarnation == context.incarnation)
      return end(
        failure{errc::refused, "the controller gave up this node: " + msg.why});
    auto i = connected.find(msg.node);
    auto has_other = i != connected.end() && i->second != msg.incarnation;
    // Before the view any loss is the end of the start, whoever came since.
    if (members
        && (msg.node == context.node || has_other
            || is_late(*context.here->read(), msg)))
      return; // that process is gone, and another one in its place
    if (i != connected.end() && !has_other)
      connected.erase(i);
    // It may live: it is to hear why nobody speaks to it.
    context.net->disconnect(msg.node, msg.incarnation, msg.why);
    hooks.close_place(msg.node, sentence_for_successor(msg.name));
    if (!started)
      return end(failure{errc::peer_lost, "node " + msg.name
                                            + " was lost while the cluster "
                                              "was starting: "
                                            + msg.why});
    auto list = *context.here->read();
    if (PLANTED(loss_not_told_to_ranks))
      list.ranks.clear();
    if (PLANTED(loss_not_told_to_gateway))
      list.gateway = gateway{};
    tell_all(list, msg);
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
    if (!parts)
      return;
    auto list = context.here->read();
    tell_all(*list, tick{});
    dial_again();
    report();
  }

  void report() {
    node_report now{context.node, context.counters->read(),
                    context.net->stats()};
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
behavior(supervisor::stateful_pointer<supervisor_state> self,
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
    [=](const view_published& msg) { self->state.connect(msg); },
    [=](const peer_joined& msg) { self->state.join(msg); },
    [=](const peer_gone& msg) { self->state.lose_peer(msg); },
    [=](const peer_missed& msg) { self->state.miss(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](cluster_started) { self->state.start(); },
    [=](shut_down) { self->state.shut_down(); },
    [=](tick) { self->state.beat(); },
  };
}

} // namespace

supervisor spawn_supervisor(caf::actor_system& system,
                            const node_context& context, node_options options,
                            supervisor_hooks hooks) {
  return system.spawn(behavior, context, std::move(options), std::move(hooks));
}

} // namespace troupe
