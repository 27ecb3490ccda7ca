#include "deploy/restart_brake.hpp"

#include <algorithm>

namespace troupe {

std::optional<std::chrono::milliseconds>
restart_brake::ended(clock::instant now) {
  while (!ends_.empty() && now - ends_.front() >= limits_.period)
    ends_.pop_front();
  if (limits_.most == 0)
    return std::nullopt;
  if (ends_.size() >= limits_.most) {
    auto due = ends_[ends_.size() - limits_.most] + limits_.period;
    ends_.push_back(now);
    return std::chrono::ceil<std::chrono::milliseconds>(due - now);
  }
  auto wait = limits_.first_wait;
  for (size_t i = 0; i < ends_.size() && wait < limits_.longest_wait; ++i)
    wait *= 2;
  ends_.push_back(now);
  return std::min(wait, limits_.longest_wait);
}

} // namespace troupe
