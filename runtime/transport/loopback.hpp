#pragma once

/// Joins several nodes of one process without copies: bodies are shared, not
/// sent. A frame reaches its receiver's handler before send() returns, on the
/// sender's thread, unless the receiver is busy with another event; then the
/// thread that is there delivers it next. So a handler sees one event at a
/// time, in order, and may send. A network of one node is what an engine of one
/// process uses.

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

class loopback_network {
public:
  explicit loopback_network(loopback_options options = {});

  /// Adds a node; it and every other node hear of each other, before this
  /// returns. The transport must not outlive the network. `id` must be free.
  /// join() and kill() are called by one thread at a time.
  std::unique_ptr<transport> join(node_id id, node_identity identity,
                                  transport_handler handler);

  /// Ends the node as if its process had died: nothing leaves or reaches it any
  /// more, the others lose it.
  void kill(node_id id);

  /// Gives `to` bytes as if they came from a wire: checked, judged, delivered.
  void inject(node_id to, std::span<const std::byte> header, body payload);

private:
  friend class loopback_node;

  using node_ptr = std::shared_ptr<loopback_node>;

  node_ptr find(node_id id) const;
  void leave(node_id id, const std::string& why);

  const loopback_options options_;
  mutable std::mutex mutex_; ///< For nodes_.
  std::map<node_id, node_ptr> nodes_;
};

} // namespace troupe
