#pragma once

/// Runs actors on the threads that also compute: an actor that is woken by the
/// end of a stage, and the stage that it enqueues, need no other thread to
/// wake up. Timeouts have a thread of their own, asleep while there are none.

#include "actors/caf.hpp"
#include "kernels/host/thread_pool.hpp"

#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <atomic>
#include <memory>
#include <thread>

namespace troupe {

/// A configuration of CAF that runs actors on `pool`.
class pool_config : public caf::actor_system_config {
public:
  explicit pool_config(std::shared_ptr<kernels::thread_pool> pool);

  const std::shared_ptr<kernels::thread_pool>& pool() const {
    return pool_;
  }

private:
  std::shared_ptr<kernels::thread_pool> pool_;
};

class pool_coordinator : public caf::scheduler::abstract_coordinator {
public:
  using super = caf::scheduler::abstract_coordinator;

  explicit pool_coordinator(caf::actor_system& system);

  static caf::actor_system::module* make(caf::actor_system& system,
                                         caf::detail::type_list<>);

  void enqueue(caf::resumable* job) override;

  caf::detail::thread_safe_actor_clock& clock() noexcept override {
    return clock_;
  }

  /// CAF's printer runs on the pool like everybody else.
  bool detaches_utility_actors() const override {
    return false;
  }

protected:
  void start() override;
  void stop() override;

private:
  /// What actors are told they run on: knows only how to run others.
  class unit : public caf::execution_unit {
  public:
    explicit unit(pool_coordinator* parent);
    void exec_later(caf::resumable* job) override;

  private:
    pool_coordinator* parent_;
  };

  void run(caf::resumable* job);
  void wait_until_idle();

  std::shared_ptr<kernels::thread_pool> pool_;
  unit unit_;
  std::atomic<size_t> num_jobs_{0}; ///< Enqueued or running.
  caf::detail::thread_safe_actor_clock clock_;
  std::thread timer_;
};

} // namespace troupe
