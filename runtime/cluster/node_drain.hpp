#pragma once

/// The decisions about a node that is to leave in peace. Events in, orders out;
/// no clock, no I/O. One node at a time.
///
///   idle --begin--> asking --it has room--> emptying --nothing left--> ending
///     ^               |  no, or no time       | no time                  |
///     +---------------+-----------------------+   it is gone, or no time |
///     +------------------------------------------------------------------+
///
/// Up to *ending* nothing has happened to the node but that others took over
/// what it had: given up, it serves on. Only then it is told to end, and what
/// is heard of its end is no loss. Whoever says that nothing is left must have
/// heard of all losses: one of them may be why others need the node.

#include "runtime/clock.hpp"
#include "runtime/cluster/drain_progress.hpp"
#include "runtime/cluster/lost_processes.hpp"
#include "runtime/cluster/membership.hpp"
#include "runtime/topology.hpp"

#include <optional>
#include <vector>

namespace troupe {

/// Which node of that name may leave: not the first, and not one without whom
/// nobody who serves has ranks. Errors: not_found, refused.
result<node_id> may_leave(const topology& cluster, const membership& who,
                          const std::string& name);

class node_drain {
public:
  /// What its owner has to do, in order.
  enum class order : uint8_t {
    move_experts,  ///< Ask the placer to.
    move_requests, ///< Ask the gateway to, and to give its ranks no more.
    stay,          ///< Tell both that it stays.
    end_node,      ///< Tell it to end.
    gone,          ///< It has not ended in time: it has left all the same.
  };

  /// How long a node may take to end that was told to.
  static constexpr std::chrono::seconds patience_of_end{10};

  bool is_idle() const {
    return phase_ == phase::idle;
  }

  /// `name` is to leave within `limit`. Nothing of another one is under way.
  void begin(node_id node, std::string name, clock::instant::duration limit,
             clock::instant now);

  /// What is said of its experts, by who has heard of these losses.
  struct experts_told {
    uint64_t moved = 0;
    uint64_t all = 0;
    bool is_done = false;
    std::optional<failure> why = {}; ///< refused: for good.
    lost_processes lost = {};
  };

  /// Likewise of its requests.
  struct requests_told {
    uint64_t left = 0;
    bool is_needed = false; ///< Nobody else could run any.
    lost_processes lost = {};
  };

  /// Of a change that was given up another one is tried.
  void experts(node_id node, const experts_told& x);

  void requests(node_id node, const requests_told& x, clock::instant now);

  /// It is gone. Returns whether that was in peace.
  bool gone(node_id node, const std::string& why);

  /// Any node that served: who said before that nothing is left has to say so
  /// again.
  void lost(node_id node, uint64_t incarnation);

  /// And serves again.
  void back(node_id node);

  void tick(clock::instant now);

  /// It is to stay after all; an empty `name` means whoever is leaving. Error:
  /// refused, if that is nobody, or if it was told to end already.
  result<void> take_back(const std::string& name);

  std::vector<order> take_orders();

  node_id node() const {
    return node_;
  }

  /// Of the last one; nothing: there was none.
  const std::optional<drain_progress>& progress() const {
    return progress_;
  }

private:
  enum class phase : uint8_t { idle, asking, emptying, ending };

  void give_up(const failure& why);
  void look(clock::instant now);
  bool has_heard(const lost_processes& known) const;

  phase phase_ = phase::idle;
  node_id node_ = 0;
  clock::instant until_ = {};
  clock::instant::duration limit_ = {};
  bool asks_again_ = false; ///< The placer, with the next tick.
  bool has_no_experts_ = false;
  bool has_no_requests_ = false;
  bool is_needed_ = false;
  lost_processes lost_;
  std::optional<drain_progress> progress_;
  std::vector<order> orders_;
};

} // namespace troupe
