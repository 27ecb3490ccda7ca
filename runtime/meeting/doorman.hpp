#pragma once

/// Decides at a door who becomes a peer, by the rules of meeting, and tells its
/// owner of nothing else. What the door says on its own thread is carried to
/// the owner's by `post`; all but open() happens there.

#include "runtime/meeting/door.hpp"

#include <map>

namespace troupe {

/// Asked and told on the owner's thread.
struct admission {
  /// Which node that is, whose identity is proven, or why the cluster has no
  /// place for it (one sentence for its operator). Empty: nobody joins.
  std::function<result<node_id>(const node_identity&)> place_of = {};
  /// A process of this incarnation had that place, but no line of it has come
  /// so far that its owner heard of it. May be empty.
  std::function<void(node_id, uint64_t incarnation)> stayed_away = {};
};

class doorman {
public:
  struct owner {
    /// Carries a call to the owner's thread. Any thread.
    std::function<void(std::function<void()>)> post;
    admission admit;
    /// Both sides agree that they are to be connected, until `deadline`.
    std::function<void(const acquaintance&, node_id id, bool is_ours,
                       std::chrono::milliseconds deadline)>
      open;
    std::function<void(node_id peer, const failure&)> connect_failed;
    /// A line that open() was called for has ended from the other side. `why`
    /// follows on the peer's name.
    std::function<void(line_id, const std::string& why)> line_ended;
  };

  /// `chance` and `log` outlive this.
  doorman(owner to, uint64_t incarnation, const logger& log);

  /// Ours from now on, with its port.
  result<endpoint_address> open(door_options options, handshake_options who,
                                entropy& chance);

  /// Ours from now on: a door of another kind, made with this handler.
  /// `deadline`: how long those who came may take to join.
  void open(std::unique_ptr<door> made, std::chrono::milliseconds deadline);
  door_handler make_handler();

  /// Ends in owner's open() or connect_failed().
  void dial(node_id peer, dial_target target);

  /// The peers of a line are connected.
  void joined(line_id line);

  /// The other side of a joined line is to hear why it is given up, and close
  /// it: line_ended.
  void give_up(line_id line, const std::string& why);

  /// A line is of no use any more: it closes. If it was dialled and never
  /// joined, `why` is told as connect_failed.
  void ended(line_id line, bool was_joined, const failure& why);

  /// Whether a process of this incarnation was given up.
  bool is_over(uint64_t incarnation) const {
    return rules_.is_over(incarnation);
  }

  /// Any thread.
  door_stats stats() const {
    return door_->stats();
  }

private:
  /// A process that we go to.
  struct dialled {
    node_id peer = 0;
    std::string address; ///< For people.
    std::chrono::milliseconds deadline{};
  };

  /// A process that has come to us.
  struct guest {
    node_id place = 0;
    uint64_t incarnation = 0;
  };

  void on_proven(const acquaintance& x);
  void on_met(line_id line, const node_identity& who);
  void on_welcomed(const acquaintance& x);
  void fail(line_id line, const failure& why);
  void give_place_back(node_id place, uint64_t incarnation);

  const owner owner_;
  const logger& log_;
  std::chrono::milliseconds deadline_{}; ///< Of those who come.
  meeting_rules rules_;
  std::map<line_id, dialled> dials_; ///< Until they are joined or fail.
  std::map<line_id, guest> guests_;  ///< Likewise.
  std::unique_ptr<door> door_; ///< Last: its thread uses all of the above.
};

} // namespace troupe
