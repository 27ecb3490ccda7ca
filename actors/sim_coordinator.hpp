#pragma once

/// Runs the actors of one life in a virtual world, one message at a time: which
/// of all actors that have one is the seed's choice. Their timeouts are events
/// of the world, on the clock of their node. A life ends with its actor system
/// at the latest.

#include "actors/caf.hpp"
#include "runtime/sim/world.hpp"

#include <caf/detail/simple_actor_clock.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <deque>

namespace troupe {

/// A configuration of CAF that runs actors in `world`, which outlives them.
class sim_config : public caf::actor_system_config {
public:
  sim_config(world& in, life_id life);

  world& in;
  const life_id life;
};

/// Timeouts of actors, each an event of the world.
class sim_timers final : public caf::detail::simple_actor_clock {
public:
  sim_timers(world& in, life_id life) : world_(in), life_(life) {
  }

  time_point now() const noexcept override;

  void set_ordinary_timeout(time_point t, caf::abstract_actor* self,
                            caf::atom_value type, uint64_t id) override;
  void set_multi_timeout(time_point t, caf::abstract_actor* self,
                         caf::atom_value type, uint64_t id) override;
  void set_request_timeout(time_point t, caf::abstract_actor* self,
                           caf::message_id id) override;
  void schedule_message(time_point t, caf::strong_actor_ptr receiver,
                        caf::mailbox_element_ptr content) override;
  void schedule_message(time_point t, caf::group target,
                        caf::strong_actor_ptr sender,
                        caf::message content) override;

private:
  void arm();

  world& world_;
  const life_id life_;
  event_id armed_ = 0;
  time_point armed_for_ = {};
};

class sim_coordinator final : public caf::scheduler::abstract_coordinator {
public:
  using super = caf::scheduler::abstract_coordinator;

  explicit sim_coordinator(caf::actor_system& system);

  static caf::actor_system::module* make(caf::actor_system& system,
                                         caf::detail::type_list<>);

  void enqueue(caf::resumable* what) override;

  sim_timers& clock() noexcept override {
    return clock_;
  }

  bool detaches_utility_actors() const override {
    return false;
  }

  /// The life is over, or about to be: from now on whoever has a message has
  /// its turn here and not in the world. Runs all that there are.
  void drain();

protected:
  void start() override;
  void stop() override;

private:
  /// An actor's turn. What the world drops comes back.
  class turn {
  public:
    turn(sim_coordinator* home, caf::resumable* what)
      : home_(home), what_(what) {
    }

    turn(turn&& other) noexcept
      : home_(other.home_), what_(std::exchange(other.what_, nullptr)) {
    }

    ~turn() {
      if (what_)
        home_->left_.push_back(what_);
    }

    void operator()() {
      home_->run(std::exchange(what_, nullptr));
    }

  private:
    sim_coordinator* home_;
    caf::resumable* what_;
  };

  /// What actors are told they run on: knows only how to run others.
  class unit : public caf::execution_unit {
  public:
    explicit unit(sim_coordinator* parent);
    void exec_later(caf::resumable* what) override;

  private:
    sim_coordinator* parent_;
  };

  void run(caf::resumable* what);

  world& world_;
  const life_id life_;
  const node_id node_;
  unit unit_;
  sim_timers clock_;
  bool is_draining_ = false;
  std::deque<caf::resumable*> left_; ///< Held; whose turn comes in drain().
};

} // namespace troupe
