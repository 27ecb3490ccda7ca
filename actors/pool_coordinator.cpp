#include "actors/pool_coordinator.hpp"

namespace troupe {

namespace {

/// Messages that an actor may take before others get their turn.
constexpr size_t messages_per_turn = 64;

} // namespace

pool_config::pool_config(std::shared_ptr<kernels::thread_pool> pool)
  : pool_(std::move(pool)) {
  load<pool_coordinator>();
}

pool_coordinator::unit::unit(pool_coordinator* parent)
  : caf::execution_unit(&parent->system()), parent_(parent) {
}

void pool_coordinator::unit::exec_later(caf::resumable* job) {
  parent_->enqueue(job);
}

pool_coordinator::pool_coordinator(caf::actor_system& system)
  : super(system),
    pool_(dynamic_cast<const pool_config&>(system.config()).pool()),
    unit_(this) {
}

caf::actor_system::module* pool_coordinator::make(caf::actor_system& system,
                                                  caf::detail::type_list<>) {
  return new pool_coordinator(system);
}

void pool_coordinator::enqueue(caf::resumable* job) {
  num_jobs_.fetch_add(1);
  pool_->submit([this, job] { run(job); });
}

void pool_coordinator::run(caf::resumable* job) {
  switch (job->resume(&unit_, messages_per_turn)) {
    case caf::resumable::resume_later:
      enqueue(job);
      break;
    case caf::resumable::done:
    case caf::resumable::awaiting_message:
      caf::intrusive_ptr_release(job);
      break;
    case caf::resumable::shutdown_execution_unit:
      break;
  }
  // CAF leaves its logger in thread-local storage; a pool outlives systems,
  // whose destructor waits until nobody holds it.
  caf::logger::set_current_actor_system(nullptr);
  if (num_jobs_.fetch_sub(1) == 1)
    num_jobs_.notify_all();
}

void pool_coordinator::start() {
  timer_ = std::thread{[this] { clock_.run_dispatch_loop(); }};
  super::start();
}

void pool_coordinator::wait_until_idle() {
  for (auto n = num_jobs_.load(); n > 0; n = num_jobs_.load())
    num_jobs_.wait(n);
}

void pool_coordinator::stop() {
  wait_until_idle();
  stop_actors();
  wait_until_idle();
  clock_.cancel_dispatch_loop();
  timer_.join();
}

} // namespace troupe
