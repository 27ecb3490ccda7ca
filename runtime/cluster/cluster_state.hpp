#pragma once

/// What a cluster has to remember when all of its processes are gone, and how
/// it is written down (schemas/cluster_state.capnp). A plain value; who keeps
/// it is state_store's to say.

#include "runtime/cluster/membership.hpp"
#include "runtime/topology.hpp"

#include <span>
#include <string>
#include <vector>

namespace troupe {

/// What a node is of.
struct node_shape {
  uint32_t num_ranks = 0;
  uint32_t num_workers = 0;
  std::vector<std::string> units; ///< Of these; by name.
  bool is_open = false;           ///< Its name is not the topology's.

  friend bool operator==(const node_shape&, const node_shape&) = default;
};

/// Of all nodes, by id.
std::vector<node_shape> shapes_of(const topology& cluster);

struct cluster_state {
  struct unit {
    std::string name;
    unit_role role = unit_role::both;
    uint32_t epoch = placement::first_epoch; ///< Of its last placement.
    /// That placement, as whoever places experts writes it; empty: the first.
    std::vector<std::byte> placement;

    friend bool operator==(const unit&, const unit&) = default;
  };

  struct slot {
    std::string name;
    uint64_t incarnation = 0; ///< Of its last process; 0: none has come.
    std::string host;
    uint16_t port = 0;
    member_state is = member_state::absent;
    bool is_leaving = false;
    node_shape shape = {}; ///< Of nothing: not known, or of neither.

    friend bool operator==(const slot&, const slot&) = default;
  };

  uint64_t revision = 0; ///< Grows by one with each change.
  std::string cluster;
  uint32_t view = 0; ///< Of the last view that may have been published.
  std::vector<unit> units;
  std::vector<slot> slots; ///< By node id.

  friend bool operator==(const cluster_state&, const cluster_state&) = default;
};

/// The bytes of a file.
std::vector<std::byte> encode(const cluster_state& x);

/// Reads them; torn or rotten ones fail. Error: invalid_input with the end of a
/// sentence that a file's name begins.
result<cluster_state> decode_cluster_state(std::span<const std::byte> bytes);

} // namespace troupe
