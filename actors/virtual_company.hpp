#pragma once

/// A whole company in a virtual world: its nodes, what connects them and what
/// they compute on. Whoever owns it lets the world go on.

#include "actors/front_end.hpp"
#include "actors/virtual_node.hpp"
#include "runtime/sim/machine_file.hpp"
#include "runtime/sim/virtual_device.hpp"
#include "runtime/sim/virtual_network.hpp"

namespace troupe {

struct virtual_company_options {
  topology cluster;
  std::shared_ptr<shared_model> model; ///< Of all nodes.
  /// Shared by all devices; null: nothing is computed.
  std::shared_ptr<kernels::executor> compute;
  world_model parts; ///< What the world is made of.
  virtual_transport_options transports;
  /// How long a node tries to reach the first one.
  std::chrono::milliseconds join_timeout{60'000};
  /// See gateway_status.
  std::chrono::milliseconds outage_timeout{60'000};
  /// See node_options. Null: experts stay where they are.
  std::shared_ptr<const balance_settings> balance;
  /// See gateway_status.
  std::shared_ptr<const request_settings> moving;
  /// So long after the end of a process of another node than the first the next
  /// one begins there; 0: none does. Not after a crash.
  virtual_duration restart_after{0};
  /// Of each node, see node_options.
  uint64_t kv_host_bytes = 0;
  /// What each write of the cluster's state takes; 0: what the seed draws.
  virtual_duration disk_time{0};
  log_level level = log_level::warning;
  /// Where lines go, with the time of the world; empty: nowhere.
  std::function<void(virtual_instant at, const std::string& who,
                     std::string_view line)>
    log;
  /// Is handed in the end what the nodes have recorded, all of their lives, in
  /// the world's time; empty: nothing is recorded.
  std::function<void(std::vector<node_spans>)> spans;
};

class virtual_company {
public:
  /// Both outlive this.
  virtual_company(world& in, virtual_company_options options);
  ~virtual_company();

  /// Begins a life of a node that has none. The first one brings the front end
  /// up, the others join it.
  void start(node_id node);

  /// All that are not there, but for those that come later and never did.
  void start_all();

  /// The process ends at once. Nothing happens without one. Not called by an
  /// actor: in an event of the world.
  void crash(node_id node);

  /// From the next start on it is shown what writes to a node's caches.
  void observe_caches(
    std::function<void(node_id, const kernels::append_latent&)> x) {
    on_cache_ = std::move(x);
  }

  /// From the next start on it hears which rank gets a request, and its term.
  void observe_owners(std::function<void(request_id, rank_id, uint32_t)> x) {
    on_owner_ = std::move(x);
  }

  /// Likewise which node the gateway has lost.
  void observe_losses(std::function<void(node_id)> x) {
    on_lost_ = std::move(x);
  }

  /// Likewise who serves in the place of one that it has lost.
  void observe_returns(std::function<void(node_id)> x) {
    on_back_ = std::move(x);
  }

  /// Likewise which requests have waited for that.
  void observe_waiting(std::function<void(request_id)> x) {
    on_waited_ = std::move(x);
  }

  /// Null where no process is.
  virtual_node* find(node_id node) {
    return slots_[node].self.get();
  }

  /// Whether every node has a process that is of use, but for those that never
  /// came and may come later.
  bool is_whole();

  /// Likewise whether requests are taken by all.
  bool is_serving();

  /// Of the first node; null without it.
  front_end* front() {
    return front_.get();
  }

  /// What a node's parts lie on; of its last life.
  const std::shared_ptr<virtual_device>& device_of(node_id node) {
    return slots_[node].device;
  }

  /// The last that the cluster would know of if all of its processes ended now.
  uint32_t kept_view() const {
    return state_->last() ? state_->last()->view : 0;
  }

  /// No device fails any more but for what it has done already.
  void spare_devices();

  virtual_network& net() {
    return net_;
  }

  const topology& cluster() const {
    return options_.cluster;
  }

  /// Of its last process: the topology's, or at an open place one that only
  /// this process has. Of each shape there is one such place.
  const std::string& name_of(node_id node) const {
    return slots_[node].name;
  }

private:
  struct slot {
    std::string name;
    std::unique_ptr<logger> log;
    std::shared_ptr<span_recorder> spans; ///< Null: nothing is recorded.
    std::shared_ptr<virtual_device> device;
    std::unique_ptr<virtual_node> self;
    bool is_expected = true; ///< It is there from the start, or has come.
  };

  node_setup setup_of(node_id node, life_id life);
  void set_clock(life_id life);
  void note_end(node_id node);
  void start_again(node_id node);

  world& world_;
  const virtual_company_options options_;
  random_stream incarnations_;
  random_stream clocks_;
  /// Outlives every process, as a file does.
  std::shared_ptr<state_store> state_ = make_memory_store();
  virtual_network net_;
  std::vector<slot> slots_; ///< By node.
  std::unique_ptr<front_end> front_;
  std::function<void(node_id, const kernels::append_latent&)> on_cache_;
  std::function<void(request_id, rank_id, uint32_t)> on_owner_;
  std::function<void(node_id)> on_lost_;
  std::function<void(node_id)> on_back_;
  std::function<void(request_id)> on_waited_;
};

} // namespace troupe
