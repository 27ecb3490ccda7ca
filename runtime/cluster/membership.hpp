#pragma once

/// The controller's decisions: who has joined, who is ready, when the cluster
/// starts, who is lost, who has come back. Events in, answers out; no clock, no
/// I/O.
///
///   absent --joined--> loading --loaded--> ready --connected--> connected
///     lost --joined--/                                  all others, too |
///      ^                                                                v
///      \--suspected: from any of them, by who is believed--------- serving
///
/// The first view is published once all nodes of the topology are ready; the
/// cluster starts once all are connected. From then on who was lost may come
/// back as another process: the next view has it, once it is ready, and it
/// serves once everybody in that view is connected to everybody. Nodes that may
/// come later are not waited for, and come in as who comes back does.

#include "runtime/dispatch/placement.hpp"
#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

enum class member_state : uint8_t {
  absent,  ///< Lost, or not ready yet: nobody connects to it.
  joining, ///< Everybody connects to it; it does not serve yet.
  serving,
  num_states
};

struct member {
  std::string name;
  uint64_t incarnation = 0; ///< Of an absent one: of its last process.
  endpoint_address address;
  member_state is = member_state::joining; ///< In a view.
};

/// Membership as the controller publishes it.
struct view {
  uint32_t number = 0;
  std::vector<uint32_t> epochs; ///< Of the placement of each unit.
  std::vector<member> members;  ///< By node id.
};

/// Told to a process that comes under the name of a node that was lost before
/// the cluster had started.
std::string sentence_for_successor(const std::string& name);

class membership {
public:
  /// `names` by node id; node 0 is the controller's own. Views are numbered
  /// from the one after `last_view` on; `epochs` are those with which each unit
  /// begins; the cluster starts without those of `later`.
  explicit membership(std::vector<std::string> names, uint32_t last_view = 0,
                      std::vector<uint32_t> epochs = {placement::first_epoch},
                      std::set<node_id> later = {});

  enum class state : uint8_t {
    absent,
    loading,
    ready,
    connected,
    serving,
    lost
  };

  /// Says who a node of this name would be, if it may join: its name is in the
  /// topology and free. Who is lost before the start has no successor.
  result<node_id> admit(const std::string& name) const;

  /// An open place gets another's name, which no other node has. It is free.
  void rename(node_id node, std::string name);

  /// Whether it may come, but not yet: the cluster has not started, and does so
  /// without it.
  bool is_early(node_id node) const {
    return !started_ && later_.contains(node);
  }

  /// A node has come; it is to be welcomed. It is not early.
  void joined(node_id node, member who);

  /// A node has its weights, and they are the controller's.
  void loaded(node_id node);

  /// Returns the first view once, when all nodes are ready; after the start a
  /// further one whenever somebody is ready who is not in the last one.
  std::optional<view> take_view();

  /// A view that was taken, as it is by now: who was lost since is absent.
  view as_it_is(view x) const;

  /// A node holds connections to all of the view with this number.
  void connected(node_id node, uint32_t view);

  /// Returns true once, when all nodes are connected.
  bool take_start();

  /// Returns those who serve from now on: who has come back, and everybody in
  /// its view is connected to everybody. Each once.
  std::vector<node_id> take_back();

  /// `by` has evidence that a process is gone. Returns whether the node is lost
  /// by that: not if it was before, if another process is that node, if node 0
  /// is meant, which hears it, or if nobody listens to `by`: not any more, or
  /// not yet, of those who serve while it does not.
  bool suspected(node_id by, node_id node, uint64_t incarnation);

  bool is_started() const {
    return started_;
  }

  bool is_there(node_id node) const {
    return is_there(nodes_[node]);
  }

  state state_of(node_id node) const {
    return nodes_[node].what;
  }

  uint64_t incarnation_of(node_id node) const {
    return nodes_[node].who.incarnation;
  }

  const std::string& name_of(node_id node) const {
    return nodes_[node].who.name;
  }

  /// The first view that has its process; 0: none yet.
  uint32_t first_view_of(node_id node) const {
    return nodes_[node].since_view;
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
    member known;            ///< As the last view had it, or the topology.
    uint32_t since_view = 0; ///< The first that has this process; 0: none yet.
    uint32_t holds = 0;      ///< The last view to all of which it is connected.
  };

  static bool is_there(const entry& x);
  static member_state state_in_view(const entry& x);
  bool is_held_by_all(uint32_t view) const;

  bool all(state at_least) const;

  std::vector<entry> nodes_;
  std::set<node_id> later_;      ///< The start does not wait for them.
  uint32_t last_view_ = 0;       ///< The number of the last view.
  std::vector<uint32_t> epochs_; ///< With which each unit begins.
  bool has_view_ = false;        ///< One of ours has been published.
  bool started_ = false;
};

} // namespace troupe
