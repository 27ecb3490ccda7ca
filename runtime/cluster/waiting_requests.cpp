#include "runtime/cluster/waiting_requests.hpp"

namespace troupe {

void waiting_requests::add(request_id id, clock::instant until, bool is_late) {
  waits_.try_emplace(id, wait{until, is_late});
}

bool waiting_requests::is_late(request_id id) const {
  auto i = waits_.find(id);
  return i != waits_.end() && i->second.is_late;
}

void waiting_requests::forgive() {
  for (auto& [id, x] : waits_)
    x.is_late = false;
}

std::vector<request_id> waiting_requests::in_time() const {
  std::vector<request_id> out;
  for (auto& [id, x] : waits_)
    if (!x.is_late)
      out.push_back(id);
  return out;
}

std::vector<request_id> waiting_requests::overdue(clock::instant now) const {
  std::vector<request_id> out;
  for (auto& [id, x] : waits_)
    if (now >= x.until)
      out.push_back(id);
  return out;
}

void waiting_requests::keep(const std::function<bool(request_id)>& is_open) {
  std::erase_if(waits_, [&](auto& x) { return !is_open(x.first); });
}

} // namespace troupe
