// The one writer of view and epoch. All decisions are membership's, and the
// judge's of whose tokens would be others.

#include "actors/cast.hpp"
#include "runtime/cluster/fingerprint_judge.hpp"

namespace troupe {

namespace {

struct controller_state {
  static constexpr const char* name = "controller";

  node_context context;
  topology cluster;
  std::string model_dir;
  std::function<void(node_id)> monitor;
  std::unique_ptr<membership> decide;
  std::unique_ptr<fingerprint_judge> judge;
  bool over = false; ///< Whoever leaves now was told to.

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
      if (decide->state_of(node_id(n)) != membership::state::lost)
        say(node_id(n), message);
  }

  void join(const node_joined& msg) {
    // A node that has been lost may come back before its cluster has ended.
    auto id = decide->admit(msg.who.name);
    if (!id || *id != msg.node) {
      auto why = id ? msg.who.name + " is another's name" : id.why().message;
      context.log->warning("node " + std::to_string(msg.node)
                           + " may not join: " + why);
      return context.net->disconnect(msg.node, msg.who.incarnation, why);
    }
    context.log->info("node " + msg.who.name + " has joined");
    decide->joined(msg.node, msg.who);
    if (msg.node != context.node)
      monitor(msg.node);
    say(msg.node, welcome{msg.node, render(cluster), model_dir});
  }

  void load(const node_loaded& msg) {
    if (msg.node < decide->num_nodes()
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
                                 decide->incarnation_of(node)))
        announce(node, refusal);
    if (auto view = decide->take_view())
      say_to_all(
        view_published{std::make_shared<const troupe::view>(std::move(*view))});
  }

  void connect(node_id node) {
    decide->connected(node);
    if (decide->take_start())
      say_to_all(cluster_started{});
  }

  void suspect(const node_suspected& msg) {
    if (!over && decide->suspected(msg.by, msg.node, msg.incarnation))
      announce(msg.node, msg.why);
  }

  void announce(node_id node, const std::string& why) {
    context.log->warning("node " + decide->name_of(node) + " is lost: " + why);
    node_lost verdict{node, decide->incarnation_of(node), decide->name_of(node),
                      why};
    say(node, verdict); // it may be alive, and is to end
    say_to_all(verdict);
  }
};

controller::behavior_type
behavior(controller::stateful_pointer<controller_state> self,
         const node_context& context, const topology& cluster,
         const std::string& model_dir, std::function<void(node_id)> monitor) {
  auto& state = self->state;
  state.context = context;
  state.cluster = cluster;
  state.model_dir = model_dir;
  state.monitor = std::move(monitor);
  std::vector<std::string> names;
  for (auto& node : cluster.nodes)
    names.push_back(node.name);
  state.judge = std::make_unique<fingerprint_judge>(names);
  state.decide = std::make_unique<membership>(std::move(names));
  return {
    [=](const node_joined& msg) { self->state.join(msg); },
    [=](const node_loaded& msg) { self->state.load(msg); },
    [=](const model_known& msg) {
      self->state.take(self->state.judge->know(*msg.digests));
    },
    [=](const node_connected& msg) { self->state.connect(msg.node); },
    [=](const node_suspected& msg) { self->state.suspect(msg); },
    [=](shut_down) { self->state.over = true; },
  };
}

} // namespace

controller spawn_controller(caf::actor_system& system,
                            const node_context& context, topology cluster,
                            std::string model_dir,
                            std::function<void(node_id)> monitor) {
  return system.spawn(behavior, context, std::move(cluster),
                      std::move(model_dir), std::move(monitor));
}

} // namespace troupe
