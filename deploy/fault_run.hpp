#pragma once

/// A plan of faults while a cluster of real processes runs: what it needs of
/// the cluster, when its faults come, and what came of them.

#include "deploy/live_faults.hpp"
#include "deploy/local_nodes.hpp"
#include "deploy/noting_service.hpp"
#include "deploy/word_channel.hpp"
#include "runtime/topology.hpp"

#include <filesystem>
#include <mutex>

namespace troupe {

/// What a cluster gets for faults as it starts.
struct fault_wiring {
  std::shared_ptr<link_faults> links; ///< Of the first node.
  std::vector<int> inherited; ///< By the other nodes' processes, in order.
};

class fault_run {
public:
  /// `has_children`: this process will start all nodes but the first. Others
  /// take no orders. `time` and `log` outlive this. Errors: not_found, io,
  /// invalid_input with a sentence that names what cannot happen here.
  static result<std::unique_ptr<fault_run>>
  open(const std::filesystem::path& plan, uint64_t seed,
       const topology& cluster, bool has_children, const clock& time,
       const logger& log);

  ~fault_run();

  const fault_wiring& wiring() const;

  /// The processes have started; null if there are none.
  void attach(local_nodes* nodes);

  /// `inner`, in such a way that the plan hears of its requests. Lives as long
  /// as this.
  service& watch(service& inner);

  /// The cluster serves: times count from here. After attach().
  void begin();

  /// Begins, heals and looks at what is due; lets go of frames. At least every
  /// few milliseconds: that is how exact times are.
  void act();

  /// Heals everything, once, and says which faults have not happened. False if
  /// any that must happen has not.
  bool end();

  /// Those that are under way, described. For any thread.
  std::vector<std::string> active() const;

private:
  class real_world;

  fault_run(std::vector<std::string> nodes, const clock& time,
            const logger& log);
  result<void> prepare(const std::filesystem::path& path, uint64_t seed,
                       bool has_children);
  void note(trace_entry x);
  void hear();
  void forget_unheard();
  bool never_began() const;

  const std::vector<std::string> nodes_;
  const clock& time_;
  const logger& log_;
  fault_wiring wiring_;
  /// Ends that are inherited: again by a child that is started again.
  std::vector<word_channel> theirs_;
  std::unique_ptr<real_world> world_;
  std::vector<fault> plan_;
  uint64_t seed_ = 0;
  std::unique_ptr<live_faults> target_;
  std::unique_ptr<fault_driver> driver_; ///< Once the cluster serves.
  std::unique_ptr<noting_service> noting_;

  mutable std::mutex mutex_; ///< For what follows.
  std::vector<trace_entry> events_;
  uint64_t num_unheard_ = 0; ///< Events for which there was no room.
  std::vector<std::string> active_;
};

} // namespace troupe
