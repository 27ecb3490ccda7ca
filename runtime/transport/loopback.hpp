#pragma once

/// Joins several nodes of one process without copies: bodies are shared, not
/// sent. A frame reaches its receiver's handler before send() returns, on the
/// sender's thread, unless the receiver is busy with another event; then the
/// thread that is there delivers it next. So a handler sees one event at a
/// time, in order, and may send. A network of one node is what an engine of one
/// process uses.
///
/// Who meets whom is decided by meeting_rules, as everywhere. Nobody is judged
/// by silence: a thread that sends is the one that delivers.

#include "runtime/transport/transport.hpp"

#include <map>
#include <mutex>

namespace troupe {

class loopback_node;

struct loopback_options {
  std::string cluster = "loopback";
  /// Bytes that may wait for a busy receiver before it counts as lost, until a
  /// sender has another limit set.
  size_t max_unsent = size_t{256} << 20;
};

/// Nodes are made, killed and connected by one thread at a time.
class loopback_network {
public:
  explicit loopback_network(loopback_options options = {});

  /// Adds a node, which dials every other one: both hear of each other, or it
  /// hears why not, before this returns. The transport must not outlive the
  /// network. No living node may have its incarnation.
  std::unique_ptr<transport> join(node_id id, node_identity identity,
                                  transport_handler handler);

  /// Has a node dial another one.
  void connect(node_id from, node_id to);

  /// Ends the node as if its process had died: nothing leaves or reaches it any
  /// more, the others lose it.
  void kill(node_id id);

  /// Gives `to` bytes as if they came from a wire: checked, judged, delivered.
  /// They have the number that their header says, and take none of a sender's.
  void inject(node_id to, std::span<const std::byte> header, body payload);

private:
  friend class loopback_node;

  using node_ptr = std::shared_ptr<loopback_node>;

  node_ptr find(uint64_t incarnation) const;
  std::vector<node_ptr> all() const;
  std::vector<node_ptr> all(node_id id) const;
  void meet(loopback_node& from, loopback_node& to);
  void leave(uint64_t incarnation, const std::string& why);

  const loopback_options options_;
  mutable std::mutex mutex_;           ///< For nodes_.
  std::map<uint64_t, node_ptr> nodes_; ///< By incarnation.
  uint64_t last_line_ = 0;
};

} // namespace troupe
