#include "actors/farewell.hpp"

namespace troupe {

farewell::farewell(caf::actor_system& system) {
  self_.emplace(system);
}

farewell::~farewell() {
  self_.reset();
  // The logger that CAF left on this thread would outlive the system.
  caf::logger::set_current_actor_system(nullptr);
}

bool farewell::wait(std::chrono::milliseconds deadline) {
  auto in_time = true;
  while (num_left_ > 0 && in_time)
    (*self_)->receive([this](const caf::down_msg&) { --num_left_; },
                      caf::after(deadline) >> [&] { in_time = false; });
  return in_time;
}

} // namespace troupe
