#pragma once

/// One node: its network, its actor system and its cast, put together. In which
/// world it lives is its maker's choice: networks.hpp has the real and another.

#include "actors/cast.hpp"
#include "actors/frame_router.hpp"
#include "actors/pool_coordinator.hpp"
#include "runtime/cluster/node_life.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
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
  /// From now on nobody is let in as that node; who tries is told why.
  std::function<void(node_id, const std::string& why)> close_place;
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
};

class node {
public:
  static result<std::unique_ptr<node>> start(node_setup setup);

  /// Ends every open request, then all actors, then the network. Waits for
  /// what the streams compute.
  ~node();

  const endpoint_address& address() const {
    return network_.address;
  }

  /// Dials the controller: the way in for all but the first node.
  /// It has until `deadline` to be there.
  void join(const endpoint_address& controller,
            std::chrono::milliseconds deadline);

  /// Waits until the cluster serves. Errors: what went wrong, or
  /// deadline_passed with the names of those who are missing.
  result<void> wait_until_started(std::chrono::milliseconds deadline);

  /// Waits until the node is over; empty after an orderly shut-down.
  std::optional<failure> wait_until_over();

  /// Ends wait_until_over.
  void request_end();

  /// Empty while the node lives and after an orderly end.
  std::optional<failure> over();

  /// Tells every node that the cluster ends and waits until they have left, or
  /// until `deadline`.
  void shut_down_cluster(std::chrono::milliseconds deadline);

  const std::shared_ptr<directory>& here() const {
    return here_;
  }

  node_counters& counters() {
    return counters_;
  }

  transport& net() {
    return *network_.net;
  }

private:
  explicit node(node_setup setup);

  transport_handler make_handler();
  void post(std::function<void()> event);
  void on_joined(node_id peer, const node_identity& identity);
  void on_gone(node_id peer, uint64_t incarnation, const std::string& why);
  void spawn_cast();
  supervisor_hooks make_hooks();
  template <class Handle>
  void watch(const Handle& actor, const char* who);
  void open_stage();
  void end(const std::optional<failure>& cause);
  void close_stage();
  void end_actors();
  bool is_over();
  void count_peer(int change);

  node_setup setup_;
  node_counters counters_;
  std::shared_ptr<directory> here_ = std::make_shared<directory>();
  frame_router router_;
  std::shared_ptr<kernels::thread_pool> pool_; ///< Of actors and device.
  pool_config config_;
  std::unique_ptr<caf::actor_system> system_;
  network network_;
  std::thread loader_; ///< Reads the weights.
  std::stop_source stop_loading_;

  std::mutex door_; ///< One event at a time; for what follows.
  std::vector<std::function<void()>> early_; ///< Events before the cast was.
  std::atomic<bool> is_open_{false};         ///< Frames need no lock any more.

  std::mutex mutex_; ///< For what follows.
  std::condition_variable changed_;
  size_t num_peers_ = 0; ///< Connected.
  node_life life_;
};

} // namespace troupe
