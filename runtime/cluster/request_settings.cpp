#include "runtime/cluster/request_settings.hpp"

#include "runtime/topology.hpp"

namespace troupe {

result<void> check_moving(const request_settings& x, const topology& cluster) {
  if (x.interval.count() <= 0 || x.patience.count() <= 0 || x.rest.count() < 0)
    return failure{errc::invalid_input,
                   "requests are moved at intervals above 0, by copies that "
                   "may take a time above 0"};
  if (!cluster.limits.moving_requests)
    return failure{errc::invalid_input,
                   "requests can be moved only where ranks can give each other "
                   "blocks (moving_requests of the topology's limits)"};
  return {};
}

} // namespace troupe
