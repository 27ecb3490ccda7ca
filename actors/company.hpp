#pragma once

/// A company of actors as a service: the header for those who embed Troupe. No
/// type of CAF or UCX is seen here.
///
///   auto company = troupe::company::start(options);
///   auto ready = (*company)->wait_until_ready(std::chrono::minutes{5});
///   (*company)->submit(request, [](auto& event) { ... });

#include "runtime/cluster/node_options.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/log.hpp"
#include "runtime/meeting/door.hpp"
#include "runtime/service.hpp"
#include "runtime/topology.hpp"
#include "runtime/transport/link_emulation.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace troupe {

class link_faults; // runtime/transport/faulty_transport.hpp

struct company_options {
  topology cluster;
  std::string model_dir;
  std::string secret;    ///< Of the cluster; may be empty on loopback.
  bool insecure = false; ///< Listen beyond loopback without a secret.
  tls_files tls;         ///< Of the meetings of nodes; may be empty.
  node_options node;
  log_level level = log_level::warning;
  std::shared_ptr<const log_book> logs = {}; ///< Null: one of that level.
  node_progress progress;
  /// What is to go wrong with this node's links; none: nothing.
  std::shared_ptr<link_faults> faults;
  /// How this node's links are to be slower than they are; empty: as they are.
  std::vector<link_emulation> links;
  /// How long requests wait for nodes that are lost; see gateway_status.
  std::chrono::milliseconds outage_timeout{60'000};
  /// Where the cluster remembers what it has to; empty: in memory.
  std::string state_dir;
};

/// The first node of a topology, gateway and controller, and with a topology of
/// one node all there is.
class company : public service {
public:
  /// Starts the first node. Other nodes may join from now on; weights load in
  /// the background. Errors: io, invalid_input.
  static result<std::unique_ptr<company>> start(company_options options);

  /// Closes, tells all nodes to leave and ends.
  ~company() override;

  /// Where nodes join; port 0 in a company of one node.
  endpoint_address address() const;

  /// Waits until every node is there. Errors: what went wrong, or
  /// deadline_passed.
  result<void> wait_until_ready(std::chrono::milliseconds deadline);

  service_info info() const override;
  service_stats stats() const override;
  cluster_status cluster() const override;
  std::optional<std::string> trouble() const override;
  result<request_id> submit(generation_request request,
                            event_handler on_event) override;
  void cancel(request_id id) override;
  void drain(const std::string& node, std::chrono::milliseconds limit,
             std::function<void(const result<void>&)> begun) override;
  void undrain(const std::string& node,
               std::function<void(const result<void>&)> done) override;

  /// Where a unit's experts are; nothing before this node has loaded its parts,
  /// or if there is no such unit. See placement::lists for what the next one is
  /// made of.
  std::optional<placement> placed(unit_id unit = 0) const;

  /// Lets `next` follow the placement of the epoch before, while requests go
  /// on: workers load what is new, ranks plan with it, workers forget what is
  /// old. Returns the new epoch once that is done. Errors: refused before the
  /// company serves; overloaded while another change is under way;
  /// invalid_input, see plan_change; step_failed, and everything is as it was,
  /// if a worker was lost or could not load; deadline_passed, and it goes on.
  result<uint32_t> change_placement(placement_lists next,
                                    std::chrono::milliseconds deadline);

  /// Who has asked for `id` has heard all that was wanted, such as the text
  /// before a stop string: however it ends from here on, that counts as
  /// finished.
  void enough(request_id id);

  /// Takes no request any more; every open one has ended, with `why` as its
  /// cause, when this returns. Nodes and actors stay.
  void close(const failure& why);

  /// Not empty once this node is of no use any more.
  std::optional<failure> over() const;

private:
  struct impl;
  explicit company(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

struct member_options {
  std::string name;  ///< As in the topology, or of an open place.
  node_share brings; ///< Who comes to an open place says so.
  endpoint_address controller;
  endpoint_address listen{"127.0.0.1", 0};
  std::string cluster = "troupe";
  std::string model_dir; ///< Empty: what the controller says.
  std::string secret;
  bool insecure = false;
  tls_files tls; ///< Of the meetings of nodes; may be empty.
  /// How long the controller may take to be there.
  std::chrono::milliseconds join_timeout{60'000};
  node_options node;
  log_level level = log_level::warning;
  std::shared_ptr<const log_book> logs = {}; ///< Null: one of that level.
  node_progress progress;
  std::shared_ptr<link_faults> faults; ///< As of a company.
  std::vector<link_emulation> links;   ///< As of a company.
};

/// Any other node of a topology.
class member_node {
public:
  /// Starts and dials the controller.
  static result<std::unique_ptr<member_node>> start(member_options options);
  ~member_node();

  /// Returns when the cluster has ended (empty), the controller is gone or
  /// this node cannot go on.
  std::optional<failure> wait_until_over();

  /// From a signal's thread: ends wait_until_over.
  void request_end();

private:
  struct impl;
  explicit member_node(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
