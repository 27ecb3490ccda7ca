#pragma once

/// One start of a node in a virtual world: a core whose actors have their turns
/// there. Nothing waits; what blocks elsewhere is done at once, and but for
/// the first such thing a little later.

#include "actors/node_core.hpp"
#include "actors/sim_coordinator.hpp"

namespace troupe {

class virtual_node {
public:
  /// Begins with `life`, which is this node's alone. `on_over` is called once
  /// it is of no use any more, by an actor: it must only take note. Each write
  /// of the cluster's state takes `disk_time`; 0: what the seed draws. Error:
  /// of the network's factory.
  static result<std::unique_ptr<virtual_node>>
  start(world& in, life_id life, node_setup setup,
        std::function<void()> on_over, virtual_duration disk_time);

  /// As the process ends, whatever it was about to do. Not called by an actor.
  ~virtual_node();

  virtual_node(const virtual_node&) = delete;
  virtual_node& operator=(const virtual_node&) = delete;

  node_core& core() {
    return core_;
  }

  life_id life() const {
    return life_;
  }

private:
  virtual_node(world& in, life_id life, node_setup setup,
               std::function<void()> on_over, virtual_duration disk_time);

  void load(std::function<void()> fn);
  void write(std::function<void()> fn);
  void end_actors();

  world& world_;
  const life_id life_;
  random_stream loads_;
  random_stream writes_;
  const virtual_duration disk_time_;
  bool has_begun_ = false; ///< Its parts are loaded, or being.
  std::function<void()> on_over_;
  node_core core_;
  sim_config config_;
  std::unique_ptr<caf::actor_system> system_;
};

} // namespace troupe
