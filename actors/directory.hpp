#pragma once

/// Who is on this node, and by which handle a node is reached. Written by the
/// one who spawns, read by transports and actors: every change is a new
/// snapshot.

#include "actors/protocol.hpp"
#include "runtime/cluster/drain_progress.hpp"
#include "runtime/cluster/unit_choice.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>

namespace troupe {

struct cast_list {
  troupe::supervisor supervisor;
  troupe::controller controller; ///< Only on its node.
  troupe::gateway gateway;       ///< Only on its node.
  troupe::placer placer;         ///< Only on the controller's node.
  troupe::balancer balancer;     ///< Only there, if experts are balanced.
  troupe::keeper keeper;         ///< Only where blocks are kept.
  std::map<rank_id, local_scheduler> schedulers;
  std::map<rank_id, attention> ranks;
  std::map<worker_id, expert_worker> workers;
  std::map<node_id, peer> peers;
  std::map<node_id, uint64_t> processes; ///< Incarnations of the peers.
  std::shared_ptr<node_parts> parts;     ///< Once they are loaded.
  std::shared_ptr<const view> members;   ///< Once they are published.
  /// The newest of each unit that this node has heard of; none: that of
  /// `parts`.
  std::map<unit_id, std::shared_ptr<const placement_lists>> placed;
  /// Of the whole model, where it was read for the judge.
  std::shared_ptr<const digest_table> digests;
  /// Of the node that was last to leave; null: there was none.
  std::shared_ptr<const drain_progress> drain;

  /// Calls fn(handle) for everybody but the supervisor; handles may be empty.
  template <class Fn>
  void for_each(Fn fn) const {
    fn(gateway);
    fn(controller);
    fn(placer);
    fn(balancer);
    fn(keeper);
    auto all = [&](auto& of) {
      for (auto& [id, x] : of)
        fn(x);
    };
    all(peers);
    all(schedulers);
    all(ranks);
    all(workers);
  }
};

class directory {
public:
  std::shared_ptr<const cast_list> read() const {
    return list_.load();
  }

  /// Changes a copy with `fn(cast_list&)` and publishes it. Not for hot paths.
  template <class Fn>
  void update(Fn fn) {
    std::lock_guard lock{mutex_};
    auto copy = std::make_shared<cast_list>(*list_.load());
    fn(*copy);
    list_.store(std::move(copy));
  }

private:
  std::mutex mutex_; ///< Orders writers.
  std::atomic<std::shared_ptr<const cast_list>> list_{
    std::make_shared<const cast_list>()};
};

/// The incarnation of a member, also of one that is absent; 0 before it is
/// known, of one that has never come, or if there is none.
inline uint64_t incarnation_of(const cast_list& list, node_id node) {
  auto known = list.members && node < list.members->members.size();
  return known ? list.members->members[node].incarnation : 0;
}

/// What is said of a member that is not there; one that may come later has
/// never been.
inline node_lost not_here(node_id node, const member& x) {
  auto is_later = x.incarnation == 0;
  return {node, x.incarnation, x.name,
          is_later ? "has not come yet"
                   : "it was not there when this node came",
          is_later};
}

inline bool is_not_here_yet(const node_lost& x) {
  return x.has_left && x.incarnation == 0;
}

inline std::string sentence(const node_lost& x) {
  if (x.has_left)
    return "node " + x.name + " " + x.why; // "has left", "has not come yet"
  return "node " + x.name + " was lost: " + x.why;
}

/// Whether a verdict is about another process than the member: a late one. For
/// supervisors alone, who pass verdicts and views on in the order in which they
/// come.
inline bool is_late(const cast_list& list, const node_lost& msg) {
  auto is_known = list.members && msg.node < list.members->members.size();
  return is_known && incarnation_of(list, msg.node) != msg.incarnation;
}

/// Tells the controller, which is on this node or beyond a peer.
template <class Message>
void tell_controller(const directory& here, const Message& message) {
  auto list = here.read();
  if (list->controller)
    tell(list->controller, message);
  else if (auto i = list->peers.find(0); i != list->peers.end())
    tell(i->second, message);
}

/// Tells every actor of the list that may have deadlines or may wait for a
/// node.
template <class Message>
void tell_all(const cast_list& list, const Message& message) {
  for (auto& [id, x] : list.ranks)
    tell(x, message);
  tell(list.placer, message);
  tell(list.balancer, message);
  if constexpr (std::is_same_v<Message,
                               tick> || std::is_same_v<Message, node_lost>)
    if (list.parts && moves_blocks(list.parts->cluster))
      for (auto& [id, x] : list.schedulers)
        tell(x, message);
  if constexpr (std::is_same_v<Message, tick>)
    tell(list.keeper, message);
  if constexpr (std::is_same_v<Message, node_lost>)
    for (auto& [id, x] : list.workers)
      tell(x, message);
  if constexpr (!std::is_same_v<Message, tick>)
    tell(list.gateway, message);
}

} // namespace troupe
