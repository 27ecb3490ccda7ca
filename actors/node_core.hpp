#pragma once

/// One node without threads and without waiting: its network, its cast, where
/// frames and events go, and how far it has come. Who owns it says on what its
/// actors run and what waits for it: node.hpp, or a virtual world.

#include "actors/cast.hpp"
#include "actors/frame_router.hpp"
#include "runtime/cluster/node_life.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe {

/// A transport and what only its maker can do with it.
struct network {
  std::shared_ptr<void> world; ///< What `net` lives on, if anything.
  std::unique_ptr<transport> net;
  endpoint_address address; ///< Where others reach us.
  /// Both may be empty where nobody is to be dialled or watched.
  std::function<void(node_id, const endpoint_address&)> connect;
  /// As connect, to the controller, who may not be there yet.
  std::function<void(const endpoint_address&, std::chrono::milliseconds)> join;
  std::function<void(node_id)> monitor;
  /// From now on this process alone is let in as that node, under that name; of
  /// incarnation 0: nobody. Who else tries is told why, and may try again.
  std::function<void(node_id, const std::string& name, uint64_t incarnation,
                     const std::string& why)>
    settle_place;
  /// Once the controller has said who we are and who the others are.
  std::function<void(node_id, const topology&)> identify;
};

using network_factory = std::function<result<network>(transport_handler)>;

struct node_setup {
  std::string name; ///< As in the topology.
  uint64_t incarnation = 0;
  node_options options;
  const logger* log = nullptr; ///< Outlives the node.
  network_factory make_network;
  node_progress progress;

  // Only on the first node of a topology:
  std::optional<topology> cluster;
  std::string model_dir;
  std::shared_ptr<gateway_status> status;
  std::shared_ptr<state_store> state; ///< Of the cluster; null: in memory.
  /// The placement that it begins with; null: what follows from the topology.
  std::shared_ptr<const placements_of_units> begins_with;
  std::shared_ptr<open_places> places; ///< As its network has them.
  /// What the disk may take in the end for what is still to be kept.
  std::chrono::milliseconds disk_patience{10'000};
};

/// What a node wants of its owner.
struct node_hooks {
  /// It has come further, or a peer has come or gone. On any thread.
  std::function<void()> on_change;
  /// Runs something that blocks, one after the other: on a thread of its own,
  /// or at once where nobody minds.
  std::function<void(std::function<void()>)> run_blocking;
  /// Likewise what writes the state of the cluster, and nothing else; empty
  /// where the node is not the first one.
  std::function<void(std::function<void()>)> run_writing;
};

class node_core {
public:
  node_core(node_setup setup, node_hooks hooks);

  /// Makes the network. What it says waits for act(). Error: the factory's.
  result<void> open();

  /// Spawns the cast, which lives until leave() and the end of `system`.
  void act(caf::actor_system& system);

  /// Dials the controller: the way in for all but the first node.
  /// It has until `deadline` to be there.
  void join(const endpoint_address& controller,
            std::chrono::milliseconds deadline);

  /// This node is of no use any more; `cause` is empty if that was asked for.
  /// Every open request ends.
  void end(const std::optional<failure>& cause);

  /// Tells every node that the cluster ends.
  void shut_down_cluster();

  /// From here on no event of the network spawns anybody.
  void leave();

  /// `done` is called once all that the cluster has to remember has been
  /// written, or could not be; or let go of, if nobody is there to say so.
  void keep_rest(std::function<void()> done);

  /// Once all actors have ended: lets go of the network, whose thread calls us
  /// no more, and of all that the cast has held. What is left of a step still
  /// sends rows and tells actors that are gone. Not on a thread of the pool.
  void let_go();

  node_life::stage at() const;
  bool is_over() const;

  /// Empty while the node lives and after an orderly end.
  std::optional<failure> cause() const;

  /// Those who are connected.
  size_t num_peers() const;

  const std::shared_ptr<directory>& here() const {
    return here_;
  }

  node_counters& counters() {
    return counters_;
  }

  const endpoint_address& address() const {
    return network_.address;
  }

  transport& net() {
    return *network_.net;
  }

private:
  transport_handler make_handler();
  void record_requests();
  node_context make_context();
  void post(std::function<void()> event);
  void on_joined(node_id peer, const node_identity& identity);
  void on_gone(node_id peer, uint64_t incarnation, const std::string& why);
  supervisor_hooks make_hooks();
  template <class Handle>
  void watch(const Handle& actor, const char* who);
  void open_stage();
  template <class Fn>
  void change(Fn fn);

  node_setup setup_;
  node_hooks hooks_;
  node_counters counters_;
  std::shared_ptr<directory> here_ = std::make_shared<directory>();
  endpoint_address controller_; ///< Where join() went.
  frame_router router_;
  caf::actor_system* system_ = nullptr; ///< Once it acts.

  std::mutex door_; ///< One event at a time; for what follows.
  std::vector<std::function<void()>> early_; ///< Events before the cast was.
  std::atomic<bool> is_open_{false};         ///< Frames need no lock any more.

  mutable std::mutex mutex_; ///< For what follows.
  size_t num_peers_ = 0;
  node_life life_;

  network network_; ///< Goes first: until then it calls us.
};

} // namespace troupe
