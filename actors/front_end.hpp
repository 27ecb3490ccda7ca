#pragma once

/// What those who bring requests ask of the first node, whatever that node
/// lives on: a service over its gateway.

#include "actors/cast.hpp"
#include "runtime/cluster/cluster_status.hpp"

namespace troupe {

class front_end {
public:
  front_end(topology cluster, model_config config);

  /// To be given to the gateway.
  const std::shared_ptr<gateway_status>& status() const {
    return status_;
  }

  /// Where the gateway will be found. Before anything of what follows.
  void connect(std::shared_ptr<directory> here);

  /// See service.
  service_info info() const;
  service_stats stats() const;
  cluster_status cluster() const;
  std::optional<std::string> trouble() const;
  result<request_id> submit(generation_request request, event_handler on_event);
  void cancel(request_id id);

  void drain(const std::string& node, std::chrono::milliseconds limit,
             std::function<void(const result<void>&)> begun);
  void undrain(const std::string& node,
               std::function<void(const result<void>&)> done);

  /// See company.
  std::optional<placement> placed(unit_id unit = 0) const;
  void change_placement(placement_lists next,
                        std::function<void(const result<uint32_t>&)> done);

  /// See company.
  void enough(request_id id);

  /// See company.
  void close(const failure& why);

  /// Requests that may be open at a time with so many ranks.
  static uint64_t max_open(const topology_limits& limits, uint32_t num_ranks);

private:
  static void add(const node_report& report, service_stats& out);
  uint32_t num_ranks_left() const;
  std::string refusal() const;

  const topology cluster_;
  const model_config config_;
  std::shared_ptr<gateway_status> status_ = std::make_shared<gateway_status>();
  std::shared_ptr<directory> here_;
};

} // namespace troupe
