// Another node, seen from here: what is said to it leaves as control frames,
// what it says goes to whom it concerns. The only place where a message
// becomes bytes, so a handle to a remote actor looks like any other.

#include "actors/cast.hpp"
#include "actors/wire.hpp"

namespace troupe {

namespace {

struct peer_state {
  static constexpr const char* name = "peer";

  template <class T, class... Ts>
  static constexpr bool is_one_of = (std::is_same_v<T, Ts> || ...);

  node_context context;
  node_id remote = 0;
  uint64_t incarnation = 0;

  void say(const control_message& message) {
    frame_header header;
    header.kind = frame_class::control;
    header.destination = incarnation;
    context.net->send(remote, header, encode(message));
  }

  void hear(const control_arrived& msg) {
    auto message = decode(remote, msg.message.bytes());
    auto list = context.here->read();
    if (!message)
      return give_up(message.why().message);
    std::visit([&](auto& x) { pass_on(*list, x); }, *message);
  }

  /// Somebody may wait for what it was, and nobody knows who.
  void give_up(const std::string& why) {
    context.log->warning("node " + std::to_string(remote) + ": " + why);
    context.net->disconnect(remote, incarnation, why);
  }

  // -- who is concerned -------------------------------------------------------

  template <class Message>
  void pass_on(const cast_list& list, const Message& msg) {
    if constexpr (for_controller<Message>)
      tell(list.controller, signed_by_us(msg));
    else if constexpr (std::is_same_v<Message, node_report>)
      tell(list.gateway, signed_by_us(msg));
    else if constexpr (is_one_of<Message, tokens_ready, request_copied>)
      tell(list.gateway, msg);
    else if constexpr (for_placer<Message>)
      tell(list.placer, msg);
    else if (remote == 0) // only the controller commands
      tell(list.supervisor, msg);
  }

  /// Who says so is this process, and not whoever is that node by then.
  template <class Message>
  Message signed_by_us(Message msg) const {
    if constexpr (std::is_same_v<Message, node_suspected>)
      msg.by_incarnation = incarnation;
    else
      msg.incarnation = incarnation;
    return msg;
  }

  void pass_on(const cast_list& list, const run_request& msg) {
    if (auto i = list.schedulers.find(msg.rank); i != list.schedulers.end())
      return tell(i->second, msg);
    context.log->warning("node " + std::to_string(remote)
                         + ": a request for rank " + std::to_string(msg.rank)
                         + ", which is not here");
  }

  /// Of a rank that is not here there is nothing to free, and nobody waits for
  /// its word.
  template <class Message>
  requires is_one_of<Message, cancel_request, move_request, offer_blocks,
                     want_blocks, block_taken, offer_ended>
  void pass_on(const cast_list& list, const Message& msg) {
    if (auto i = list.schedulers.find(msg.rank); i != list.schedulers.end())
      tell(i->second, msg);
  }

  void pass_on(const cast_list& list, const rows_refused& msg) {
    if (auto i = list.ranks.find(msg.of.id.rank); i != list.ranks.end())
      tell(i->second, msg);
  }

  void pass_on(const cast_list& list, const change_slots& msg) {
    auto i = list.workers.find(msg.worker);
    if (remote == 0 && i != list.workers.end())
      tell(i->second, msg);
  }

  void pass_on(const cast_list&, const placement_published& msg) {
    if (remote != 0)
      return;
    context.here->update(
      [&](cast_list& all) { all.placed[msg.map->unit] = msg.map; });
    tell_ranks(msg);
  }

  void pass_on(const cast_list&, const experts_given_up& msg) {
    if (remote == 0)
      tell_ranks(msg);
  }

  template <class Message>
  void tell_ranks(const Message& msg) const {
    for (auto& [id, rank] : context.here->read()->ranks)
      tell(rank, msg);
  }

  template <class T>
  static constexpr bool for_controller
    = is_one_of<T, node_loaded, node_connected, node_suspected>;

  template <class T>
  static constexpr bool for_placer
    = is_one_of<T, placement_taken, slots_changed>;
};

peer::behavior_type peer_behavior(peer::stateful_pointer<peer_state> self,
                                  const node_context& context, node_id remote,
                                  uint64_t incarnation) {
  self->state.context = context;
  self->state.remote = remote;
  self->state.incarnation = incarnation;
  return {
    [=](const tokens_ready& msg) { self->state.say(msg); },
    [=](const control_arrived& msg) { self->state.hear(msg); },
    [=](const run_request& msg) { self->state.say(msg); },
    [=](const cancel_request& msg) { self->state.say(msg); },
    [=](const move_request& msg) { self->state.say(msg); },
    [=](const request_copied& msg) { self->state.say(msg); },
    [=](const offer_blocks& msg) { self->state.say(msg); },
    [=](const want_blocks& msg) { self->state.say(msg); },
    [=](const block_taken& msg) { self->state.say(msg); },
    [=](const offer_ended& msg) { self->state.say(msg); },
    [=](const rows_refused& msg) { self->state.say(msg); },
    [=](const node_report& msg) { self->state.say(msg); },
    [=](const node_loaded& msg) { self->state.say(msg); },
    [=](const node_connected& msg) { self->state.say(msg); },
    [=](const node_suspected& msg) { self->state.say(msg); },
    [=](const welcome& msg) { self->state.say(msg); },
    [=](const view_published& msg) { self->state.say(msg); },
    [=](const placement_published& msg) { self->state.say(msg); },
    [=](const placement_taken& msg) { self->state.say(msg); },
    [=](const change_slots& msg) { self->state.say(msg); },
    [=](const slots_changed& msg) { self->state.say(msg); },
    [=](const experts_given_up& msg) { self->state.say(msg); },
    [=](const node_lost& msg) { self->state.say(msg); },
    [=](const node_back& msg) { self->state.say(msg); },
    [=](cluster_started msg) { self->state.say(msg); },
    [=](shut_down msg) { self->state.say(msg); },
  };
}

} // namespace

peer spawn_peer(caf::actor_system& system, const node_context& context,
                node_id remote, uint64_t incarnation) {
  return system.spawn(peer_behavior, context, remote, incarnation);
}

} // namespace troupe
