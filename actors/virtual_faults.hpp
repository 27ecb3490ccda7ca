#pragma once

/// What befalls a company in a virtual world, carried out. Everything happens
/// between two events, and each fault can say how it is known.

#include "actors/virtual_clients.hpp"
#include "runtime/sim/fault_driver.hpp"

#include <map>
#include <set>

namespace troupe {

class virtual_faults final : public fault_target {
public:
  /// All outlive this.
  virtual_faults(world& in, virtual_company& company, virtual_clients& clients,
                 run_checks& checks);

  result<fault_handle> begin(const fault& x) override;
  void heal(fault_handle x) override;
  std::optional<std::string> evidence(fault_handle x) override;

  const fault& what(fault_handle x) const {
    return all_.at(x).first;
  }

  /// Whether any has damaged a frame so far.
  bool has_damaged() const;

  /// The first node has heard that it is lost, or has left.
  void node_lost(node_id node);

  /// Likewise that it serves, and did not before.
  void node_back(node_id node) {
    ++num_back_[node];
  }

  /// Whether it leaves in peace, or has, by what the first node says now.
  bool was_told_to_end(node_id node) const;

private:
  /// A fault under way. `proof` says what it has done so far; empty: nothing.
  struct carried_out {
    std::function<void()> heal = {};
    std::function<std::string()> proof = {};
  };

  std::optional<failure> obstacle_to_moves() const;
  /// Why it cannot begin; nothing if it can.
  std::optional<failure> obstacle(const fault& x) const;
  carried_out carry_out(const fault& x);
  carried_out befall_node(const fault& x);
  carried_out befall_link(const fault& x);
  carried_out reset(node_id a, node_id b);
  carried_out befall_client(const fault& x);
  carried_out kill(node_id node);
  carried_out pause(node_id node);
  carried_out slow(node_id node, double factor);
  carried_out move_experts(node_id node);
  carried_out let_leave(node_id node);
  carried_out let_join(node_id node);
  carried_out let_stay(node_id node);
  std::optional<failure> obstacle_to_join(const fault& x) const;
  carried_out fail_device(const fault& x, node_id node);
  carried_out watch(net_fault x, std::string what);
  std::optional<node_id> find(const std::string& name) const;
  void note(trace_kind kind, const fault& x, fault_handle handle);

  world& world_;
  virtual_company& company_;
  virtual_clients& clients_;
  run_checks& checks_;
  std::vector<std::pair<fault, carried_out>> all_; ///< By handle.
  // Of faults of one kind that overlap, by node.
  std::map<node_id, uint32_t> pauses_;
  std::map<node_id, std::multiset<double>> slownesses_;
  std::vector<net_fault> damages_;
  std::map<node_id, uint32_t> num_left_; ///< In peace, by node.
  std::map<node_id, uint32_t> num_back_; ///< Or for the first time, likewise.
  random_stream moves_;
};

} // namespace troupe
