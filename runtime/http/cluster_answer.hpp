#pragma once

/// What /cluster answers.

#include "runtime/cluster/cluster_status.hpp"

#include <string>

namespace troupe::http {

/// JSON; layers as sums over their experts. Described in README.md.
std::string render_cluster(const cluster_status& x);

/// JSON: of each layer the rows of each expert and where its replicas are.
std::string render_experts(const cluster_status& x);

} // namespace troupe::http
