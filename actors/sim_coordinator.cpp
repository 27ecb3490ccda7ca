#include "actors/sim_coordinator.hpp"

namespace troupe {

namespace {

const sim_config& config_of(caf::actor_system& system) {
  return dynamic_cast<const sim_config&>(system.config());
}

/// By the number that its system has given it; 0 for what is no actor.
uint64_t actor_of(caf::resumable* what) {
  auto is_actor = what->subtype() == caf::resumable::scheduled_actor;
  return is_actor ? static_cast<caf::scheduled_actor*>(what)->id() : 0;
}

} // namespace

sim_config::sim_config(world& in, life_id life) : in(in), life(life) {
  load<sim_coordinator>();
  set("logger.inline-output", true); // no thread for lines that nobody wants
}

// -- time ---------------------------------------------------------------------

sim_timers::time_point sim_timers::now() const noexcept {
  return world_.clock_of(life_).now();
}

void sim_timers::set_ordinary_timeout(time_point t, caf::abstract_actor* self,
                                      caf::atom_value type, uint64_t id) {
  simple_actor_clock::set_ordinary_timeout(t, self, type, id);
  arm();
}

void sim_timers::set_multi_timeout(time_point t, caf::abstract_actor* self,
                                   caf::atom_value type, uint64_t id) {
  simple_actor_clock::set_multi_timeout(t, self, type, id);
  arm();
}

void sim_timers::set_request_timeout(time_point t, caf::abstract_actor* self,
                                     caf::message_id id) {
  simple_actor_clock::set_request_timeout(t, self, id);
  arm();
}

void sim_timers::schedule_message(time_point t, caf::strong_actor_ptr receiver,
                                  caf::mailbox_element_ptr content) {
  simple_actor_clock::schedule_message(t, std::move(receiver),
                                       std::move(content));
  arm();
}

void sim_timers::schedule_message(time_point t, caf::group target,
                                  caf::strong_actor_ptr sender,
                                  caf::message content) {
  simple_actor_clock::schedule_message(t, std::move(target), std::move(sender),
                                       std::move(content));
  arm();
}

/// One event stands for all timeouts: the earliest. A clock that has changed
/// its rate since may find nothing due, and asks again.
void sim_timers::arm() {
  if (schedule().empty())
    return;
  auto first = schedule().begin()->first;
  if (armed_ != 0 && armed_for_ <= first)
    return;
  world_.cancel(armed_);
  armed_for_ = first;
  armed_ = world_.at(life_, world_.clock_of(life_).to_world(first), [this] {
    armed_ = 0;
    trigger_expired_timeouts();
    arm();
  });
}

// -- turns --------------------------------------------------------------------

sim_coordinator::unit::unit(sim_coordinator* parent)
  : caf::execution_unit(&parent->system()), parent_(parent) {
}

void sim_coordinator::unit::exec_later(caf::resumable* what) {
  parent_->enqueue(what);
}

sim_coordinator::sim_coordinator(caf::actor_system& system)
  : super(system), world_(config_of(system).in), life_(config_of(system).life),
    node_(world_.node_of(life_)), unit_(this), clock_(world_, life_) {
}

caf::actor_system::module* sim_coordinator::make(caf::actor_system& system,
                                                 caf::detail::type_list<>) {
  return new sim_coordinator(system);
}

void sim_coordinator::enqueue(caf::resumable* what) {
  if (is_draining_)
    left_.push_back(what);
  else
    world_.make_ready(life_, turn{this, what});
}

void sim_coordinator::run(caf::resumable* what) {
  if (!is_draining_)
    world_.record(
      {.kind = trace_kind::message_run, .node = node_, .a = actor_of(what)});
  switch (what->resume(&unit_, 1)) {
    case caf::resumable::resume_later:
      enqueue(what);
      break;
    case caf::resumable::done:
    case caf::resumable::awaiting_message:
      caf::intrusive_ptr_release(what);
      break;
    case caf::resumable::shutdown_execution_unit:
      break;
  }
  // CAF leaves its logger in thread-local storage, from where it would keep
  // the system; many systems share this thread.
  caf::logger::set_current_actor_system(nullptr);
}

void sim_coordinator::drain() {
  is_draining_ = true;
  while (!left_.empty()) {
    auto* next = left_.front();
    left_.pop_front();
    run(next);
  }
}

void sim_coordinator::start() {
  super::start();
}

void sim_coordinator::stop() {
  world_.end_life(life_); // it gives back whose turn would have come
  drain();
  clock_.cancel_all();
  stop_actors();
  drain();
}

} // namespace troupe
