#pragma once

/// Faults that befall processes which run: what of the vocabulary a machine can
/// do to a cluster of its own, carried out, and how each is known.

#include "deploy/link_orders.hpp"
#include "runtime/log.hpp"
#include "runtime/sim/fault_driver.hpp"

namespace troupe {

/// What a process does at present, as the kernel says.
enum class process_state : uint8_t { runs, is_stopped, is_gone };

/// The processes of a cluster, as far as they can be reached from here.
class live_world {
public:
  virtual ~live_world() = default;

  /// Whether that node's process was started by this one.
  virtual bool is_child(node_id node) const = 0;

  /// Sends a signal. False: the process is gone.
  virtual bool send_signal(node_id node, int which) = 0;

  virtual process_state state_of(node_id node) = 0;

  /// Has a node do something to its links. False: nobody there obeys.
  virtual bool order(node_id node, const link_order& x) = 0;

  /// What its orders have done that was not told yet.
  virtual std::vector<link_effect> news() = 0;
};

/// Whether everything in `plan`, whose targets are names, can happen to a
/// cluster of these nodes, by node_id. The first is this process. Error:
/// invalid_input, with one sentence that names each fault that cannot.
result<void> check_live_plan(const std::vector<fault>& plan,
                             const std::vector<std::string>& nodes,
                             const live_world& world);

/// For one thread. Each fault has a line in the log when it begins, is known to
/// have happened and heals.
class live_faults final : public fault_target {
public:
  /// `world` and `log` outlive this.
  live_faults(std::vector<std::string> nodes, live_world& world,
              const logger& log);

  /// Heals what is under way.
  ~live_faults() override;

  result<fault_handle> begin(const fault& x) override;
  void heal(fault_handle x) override;
  std::optional<std::string> evidence(fault_handle x) override;

  /// Says again what was not taken, hears what orders have done, and looks for
  /// evidence. Again and again.
  void look();

  /// Those that have begun and not healed, described.
  std::vector<std::string> active() const;

private:
  struct carried_out {
    fault what;
    std::vector<std::pair<node_id, uint64_t>> orders = {}; ///< To whom, id.
    bool is_over = false; ///< Healed, or of a kind that has no end.
    std::string proof = {};
  };

  node_id place_of(const std::string& name) const;
  result<void> befall_node(carried_out& x);
  result<void> befall_link(carried_out& x);
  bool order(carried_out& x, node_id from, node_id to);
  void heal_links(const carried_out& x);
  void say_again();
  std::string look_at(const carried_out& x) const;

  const std::vector<std::string> nodes_;
  live_world& world_;
  const logger& log_;
  std::vector<carried_out> all_;       ///< By handle.
  std::map<node_id, uint32_t> pauses_; ///< That are under way.
  /// Ends of faults that a node's process did not take yet.
  std::vector<std::pair<node_id, link_order>> unsaid_;
  uint64_t last_order_ = 0;
  std::map<uint64_t, uint64_t> effects_; ///< By order.
};

} // namespace troupe
