#pragma once

/// How to spawn each actor: what it is given, once, for good. Pointers outlive
/// the actor system.

#include "actors/directory.hpp"
#include "actors/protocol.hpp"
#include "runtime/cluster/open_places.hpp"
#include "runtime/cluster/open_requests.hpp"
#include "runtime/cluster/request_settings.hpp"
#include "runtime/cluster/request_status.hpp"
#include "runtime/cluster/state_store.hpp"
#include "runtime/log.hpp"
#include "runtime/tracing/span_recorder.hpp"

#include <functional>
#include <memory>
#include <set>

namespace troupe {

class kv_io;

/// What every actor of a node is given.
struct node_context {
  node_id node = 0;
  uint64_t incarnation = 0; ///< Of this process.
  transport* net = nullptr;
  node_counters* counters = nullptr;
  const logger* log = nullptr;
  std::shared_ptr<directory> here; ///< Who is on this node.
  span_recorder* spans = nullptr;  ///< Null: nothing is recorded.
  /// Runs something that may block, one after the other, on another thread; or
  /// at once where nobody minds, or where there is none.
  std::function<void(std::function<void()>)> run_blocking;
  /// Likewise what writes the state of the cluster, and nothing else. On the
  /// first node.
  std::function<void(std::function<void()>)> run_writing;
};

local_scheduler
spawn_scheduler(caf::actor_system& system, const node_context& context,
                std::shared_ptr<node_parts> parts, rank_parts& rank,
                batcher_options options, gateway_inbox answers_to);

/// Opens the store of `parts`, whose ranks keep keys, on the threads of `io`;
/// null: on two of its own.
keeper spawn_keeper(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts,
                    std::shared_ptr<kv_io> io = {});

attention spawn_attention(caf::actor_system& system,
                          const node_context& context,
                          std::shared_ptr<node_parts> parts, rank_parts& rank,
                          local_scheduler answers_to);

expert_worker
spawn_expert_worker(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<node_parts> parts, worker_parts& worker);

/// What the gateway and the front end share without a message.
struct gateway_status {
  open_requests requests; ///< Opened by the front end, served by the gateway.
  /// How long a request waits for nodes that are lost and that it cannot do
  /// without. Set before the gateway is there.
  std::chrono::milliseconds outage_timeout{60'000};
  std::atomic<uint64_t> prompt_tokens{0};
  std::atomic<uint32_t> usable_ranks{0};
  /// How running requests are moved to other ranks; null: they are not. Set
  /// before the gateway is there.
  std::shared_ptr<const request_settings> moving;
  /// To another rank, since theirs was lost.
  std::atomic<uint64_t> requests_moved{0};
  /// By a rank that prefills to one that decodes.
  std::atomic<uint64_t> requests_handed_over{0};
  /// Events that were said twice, out of turn or by who is not the owner.
  std::atomic<uint64_t> events_refused{0};
  /// Hears who runs a request, and in which term. May be empty; set before the
  /// gateway is there.
  std::function<void(request_id, rank_id, uint32_t term)> on_owner;
  /// Hears of each node that is lost, before its requests do. Likewise.
  std::function<void(node_id)> on_lost;
  /// Hears of each node that is back, before it gets requests. Likewise.
  std::function<void(node_id)> on_back;
  /// Hears of each request that goes on after it has waited for a node.
  /// Likewise.
  std::function<void(request_id)> on_waited;

  mutable std::mutex mutex;
  std::string trouble = "the cluster is starting"; ///< Guarded.
  uint64_t nodes_lost = 0;                         ///< Guarded; at present.
  uint64_t nodes_left = 0;                         ///< Likewise.
  uint64_t nodes_later = 0;                        ///< Likewise.
  uint64_t nodes_came_back = 0;                    ///< Guarded.
  /// Why nothing can be taken at present; guarded.
  std::string refusal = "the cluster is starting";
  std::vector<node_report> reports; ///< Guarded; by node, without loads.
  /// Of each node what its former processes have counted; guarded.
  std::vector<node_report> former;
  /// Guarded; by node, null until the first has come.
  std::vector<std::shared_ptr<const part_loads>> loads;
  /// Guarded; why; also who has left, or has not come yet.
  std::map<node_id, std::string> lost;
  std::set<node_id> left;  ///< Guarded; of these, in peace.
  std::set<node_id> later; ///< Guarded; of these, who has not come yet.
  /// Guarded; null until the first has come.
  std::shared_ptr<const balance_status> balance;
  /// Likewise, of requests.
  std::shared_ptr<const request_status> request_balance;
};

/// `on_started` is called once requests are taken.
gateway spawn_gateway(caf::actor_system& system, const node_context& context,
                      topology cluster, std::shared_ptr<gateway_status> status,
                      std::function<void()> on_started = {});

/// `kept` is where the state of the cluster is kept from now on; not null.
/// `begins_with`: null for what follows from the topology. `places`: hears who
/// has come and who is gone; null: nobody asks it.
controller
spawn_controller(caf::actor_system& system, const node_context& context,
                 topology cluster, std::string model_dir,
                 std::function<void(node_id)> monitor,
                 std::shared_ptr<state_store> kept,
                 std::shared_ptr<const placements_of_units> begins_with = {},
                 std::shared_ptr<open_places> places = {});

/// It begins with the placement of `parts`.
placer spawn_placer(caf::actor_system& system, const node_context& context,
                    std::shared_ptr<const node_parts> parts);

/// It has the newest placement from `context`, and the placer. `settings`: not
/// null.
balancer spawn_balancer(caf::actor_system& system, const node_context& context,
                        std::shared_ptr<const node_parts> parts,
                        std::shared_ptr<const balance_settings> settings);

/// What a supervisor may do to the world outside of the actors.
struct supervisor_hooks {
  /// Dials a node; peer_joined or peer_missed follows.
  std::function<void(node_id, const endpoint_address&)> connect;
  /// Goes to the controller once more, as join() has; empty: nobody does.
  std::function<void()> join_again;
  /// Watches the heartbeats of a node.
  std::function<void(node_id)> monitor;
  /// From now on this process alone becomes that node, under that name; 0:
  /// nobody. Others are told why, in a sentence.
  std::function<void(node_id, const std::string& name, uint64_t incarnation,
                     const std::string& why)>
    settle_place;
  /// The controller has said who we are.
  std::function<void(node_id, const topology&)> identify;
  /// The cluster serves; not on the gateway's node, which says so itself.
  std::function<void()> on_started;
  /// This node is of no use any more; `cause` is empty after shut_down.
  std::function<void(const std::optional<failure>& cause)> on_end;
  node_progress progress;
  /// See node_context.
  std::function<void(std::function<void()>)> run_blocking;
};

supervisor spawn_supervisor(caf::actor_system& system,
                            const node_context& context, node_options options,
                            supervisor_hooks hooks);

/// What a process `incarnation` says cannot be read: it is given up.
peer spawn_peer(caf::actor_system& system, const node_context& context,
                node_id remote, uint64_t incarnation);

} // namespace troupe
