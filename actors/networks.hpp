#pragma once

/// The networks that a node may live in.

#include "actors/node_core.hpp"
#include "runtime/meeting/door.hpp"
#include "runtime/sim/virtual_network.hpp"
#include "runtime/transport/emulated_transport.hpp"
#include "runtime/transport/faulty_transport.hpp"

#include <string>
#include <vector>

namespace troupe {

struct network_options {
  std::string cluster;
  std::string name;
  uint64_t incarnation = 0;
  endpoint_address listen;
  std::string secret;
  bool insecure = false;
  const logger* log = nullptr;
  /// Of the first node: who may be which. Null on others, which take whom the
  /// controller has let in.
  std::shared_ptr<open_places> places = {};
  tls_files tls = {}; ///< Of meetings; none: proven, but in clear text.
  /// What is wrong with our links; none: nothing. Of ucx_network.
  std::shared_ptr<link_faults> faults = {};
  /// How links are to be slower than they are; empty: as they are. Of
  /// ucx_network.
  std::vector<link_emulation> links = {};
  node_share brings = {}; ///< See node_identity.
};

/// A cluster of one process: frames to itself, no sockets.
network_factory one_node_network(network_options options);

/// A life in a virtual world, as which node its maker knows. `world`'s network
/// outlives the factory's.
network_factory virtual_network_of(virtual_network& net, life_id life,
                                   network_options options);

/// Processes that meet over UCX.
///  Errors of the factory: io, invalid_input, refused.
network_factory ucx_network(network_options options);

} // namespace troupe
