#pragma once

/// The controller's decisions: who has joined, who is ready, when the cluster
/// starts, who is lost. Events in, answers out; no clock, no I/O.
///
///   joining --welcome--> loading --loaded--> ready --connected--> serving
///      \________________________\_______________\________________> lost
///
/// The view is published once all nodes of the topology are ready; the cluster
/// starts once all are connected.

#include "runtime/dispatch/placement.hpp"
#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct member {
  std::string name;
  uint64_t incarnation = 0;
  endpoint_address address;
};

/// Membership as the controller publishes it.
struct view {
  uint32_t number = 0;
  std::vector<uint32_t> epochs; ///< Of the placement of each unit.
  std::vector<member> members;  ///< By node id.
};

/// Told to a process that comes under the name of a node that was lost.
std::string sentence_for_successor(const std::string& name);

class membership {
public:
  /// `names` by node id; node 0 is the controller's own.
  explicit membership(std::vector<std::string> names);

  enum class state : uint8_t { absent, loading, ready, connected, lost };

  /// Says who a node of this name would be, if it may join: its name is in the
  /// topology and free, and nobody was lost under it.
  result<node_id> admit(const std::string& name) const;

  /// A node has come; it is to be welcomed.
  void joined(node_id node, member who);

  /// A node has its weights, and they are the controller's.
  void loaded(node_id node);

  /// Returns the view once, when all nodes are ready.
  std::optional<view> take_view();

  void connected(node_id node);

  /// Returns true once, when all nodes are connected.
  bool take_start();

  /// `by` has evidence that a process is gone. Returns whether the node is lost
  /// by that: not if it was before, if another process is that node, if node 0
  /// is meant, which hears it, or if nobody listens to `by` any more.
  bool suspected(node_id by, node_id node, uint64_t incarnation);

  state state_of(node_id node) const {
    return nodes_[node].what;
  }

  uint64_t incarnation_of(node_id node) const {
    return nodes_[node].who.incarnation;
  }

  const std::string& name_of(node_id node) const {
    return nodes_[node].who.name;
  }

  size_t num_nodes() const {
    return nodes_.size();
  }

  /// "node1 (loading), node2 (absent)": whom the start waits for; or empty.
  std::string missing() const;

private:
  struct entry {
    member who;
    state what = state::absent;
  };

  bool all(state at_least) const;

  std::vector<entry> nodes_;
  bool view_published_ = false;
  bool started_ = false;
};

} // namespace troupe
