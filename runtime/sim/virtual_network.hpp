#pragma once

/// All that connects the nodes of a virtual world, and what may be wrong with
/// it. Outlives its transports; the world outlives it. Once it is gone the
/// world must not go on.
///
/// A process that dies is seen by its peers as the end of their lines, one
/// flight later; frames that had left it still arrive. A stopped process is
/// silent: what comes waits in its buffers, link_model::max_queue of a lane,
/// and then at those who send.

#include "runtime/sim/virtual_transport.hpp"

namespace troupe {

struct virtual_network_options {
  virtual_transport_options transports;
  link_model link; ///< Until set_link.
  /// Until a sender finds that a cut is healed: uniform up to this.
  virtual_duration retransmission = std::chrono::milliseconds{200};
};

/// A fault that lasts until it is healed.
using net_fault = uint32_t;

class virtual_network : public virtual_street {
public:
  explicit virtual_network(world& w, virtual_network_options options = {});
  ~virtual_network();

  /// The transport of a living life, once; it ends with the life at the latest.
  /// `self_id`: 0 for the controller; others learn theirs later. `log` outlives
  /// it.
  std::unique_ptr<virtual_transport>
  open(life_id life, node_identity self, std::optional<node_id> self_id,
       admission admit, transport_handler handler, const logger& log);

  /// Where the lives of a node listen.
  endpoint_address address_of(node_id node);

  void set_link(node_id from, node_id to, const link_model& model);

  // -- faults: no_node stands for all nodes -----------------------------------

  net_fault cut(node_id a, node_id b, frame_filter which = frame_filter::all);
  net_fault cut_oneway(node_id from, node_id to,
                       frame_filter which = frame_filter::all);
  net_fault clog(node_id a, node_id b, frame_filter which = frame_filter::all);
  net_fault delay(node_id a, node_id b, virtual_duration by,
                  frame_filter which = frame_filter::all);
  net_fault rate(node_id a, node_id b, uint64_t bytes_per_second,
                 frame_filter which = frame_filter::all);
  /// At the gate of `to`.
  net_fault duplicate(node_id from, node_id to, double p,
                      frame_filter which = frame_filter::all);
  net_fault corrupt(node_id from, node_id to, double p,
                    frame_filter which = frame_filter::all);
  net_fault replay(node_id from, node_id to, double p,
                   frame_filter which = frame_filter::all);

  /// Breaks the connections between two nodes, once. Returns how many there
  /// were.
  size_t reset(node_id a, node_id b);

  /// Nothing to do if it is healed already.
  void heal(net_fault x);

  /// What it has done so far: frames that it kept, changed or added.
  uint64_t num_hit(net_fault x) const;

  /// Damaged frames that no fault explains: somebody has written to memory that
  /// was being sent.
  uint64_t num_unexplained() const {
    return num_unexplained_;
  }

  // -- for transports and doors -----------------------------------------------

  world& in() {
    return world_;
  }

  const virtual_network_options& options() const {
    return options_;
  }

  entropy& chance();

  virtual_link& link(node_id from, node_id to);

  /// A way for the frames of a new connection.
  virtual_channel& connect(life_id from, life_id to,
                           virtual_channel::seal_fn seal);

  /// Bytes that are on their way in the youngest connection.
  size_t num_under_way(life_id from, life_id to) const;

  /// Of a process that has, or had, a transport.
  life_id life_of(uint64_t incarnation) const;

  /// Null if it is over.
  virtual_transport* find(life_id life) const;

  void gone(virtual_transport& x, life_id life);
  void count_damage(const packet& x);

  virtual_door* door_at(const endpoint_address& address) override;
  virtual_door* door_of(life_id life) override;
  std::optional<node_id> node_at(const endpoint_address& address) override;
  void say(node_id from, node_id to, life_id life, job what) override;
  line_id next_line() override;

private:
  class nonces;

  struct active_fault {
    fault_ptr what;
    node_id from, to;
    bool is_both_ways = false;
    bool is_healed = false;

    bool concerns(node_id a, node_id b) const;
  };

  net_fault begin(link_fault what, node_id from, node_id to, bool is_both_ways);

  world& world_;
  const virtual_network_options options_;
  std::unique_ptr<nonces> chance_;
  const std::shared_ptr<block_pool> pool_;
  std::map<std::pair<node_id, node_id>, std::unique_ptr<virtual_link>> links_;
  std::vector<std::unique_ptr<virtual_channel>> channels_;
  std::map<std::pair<life_id, life_id>, virtual_channel*> newest_;
  std::vector<virtual_transport*> transports_;  ///< By life.
  std::unordered_map<uint64_t, life_id> lives_; ///< By incarnation.
  std::vector<active_fault> faults_;
  line_id last_line_ = 0;
  uint64_t num_unexplained_ = 0;
};

} // namespace troupe
