#pragma once

/// A node that lives in this process, on threads: a core, the pool that its
/// actors and its device share, and those who wait for it. In which world its
/// frames travel is its maker's choice: networks.hpp has the real and another.

#include "actors/node_core.hpp"
#include "actors/pool_coordinator.hpp"
#include "runtime/task_queue.hpp"

#include <condition_variable>
#include <stop_token>

namespace troupe {

class node {
public:
  static result<std::unique_ptr<node>> start(node_setup setup);

  /// Ends every open request, then all actors, then the network. Waits for
  /// what the streams compute.
  ~node();

  const endpoint_address& address() const {
    return core_.address();
  }

  /// See node_core.
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
    return core_.here();
  }

  node_counters& counters() {
    return core_.counters();
  }

  transport& net() {
    return core_.net();
  }

private:
  /// More than a node has workers: each has one out.
  static constexpr size_t max_loads = 65'536;

  explicit node(node_setup setup);

  node_setup complete(node_setup setup);
  node_hooks make_hooks();
  void end_actors();
  void end_writing();

  std::shared_ptr<kernels::thread_pool> pool_; ///< Of actors and device.
  std::stop_source stop_loading_;
  task_queue loader_{max_loads}; ///< Reads weights.
  /// Writes the cluster's state, one at a time. On the first node.
  std::unique_ptr<task_queue> writer_;
  const std::chrono::milliseconds disk_patience_;
  const logger* log_;
  std::mutex mutex_; ///< Nothing changes unseen while it is held.
  std::condition_variable changed_;
  node_core core_;
  pool_config config_;
  std::unique_ptr<caf::actor_system> system_;
};

} // namespace troupe
