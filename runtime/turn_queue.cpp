#include "runtime/turn_queue.hpp"

#include <utility>

namespace troupe {

bool job_turns::add(uint64_t whose, job x, size_t cost) {
  if (cost > max_cost_ - cost_)
    return false;
  auto [i, is_new] = by_whose_.try_emplace(whose, lines_.end());
  if (is_new)
    i->second = lines_.insert(lines_.end(), line{whose, {}});
  i->second->tasks.push_back({std::move(x), cost});
  cost_ += cost;
  ++num_waiting_;
  return true;
}

job_turns::turn job_turns::take() {
  if (lines_.empty())
    return {};
  auto first = lines_.begin();
  turn out{first->whose, std::move(first->tasks.front().what)};
  cost_ -= first->tasks.front().cost;
  first->tasks.pop_front();
  --num_waiting_;
  if (first->tasks.empty()) {
    by_whose_.erase(first->whose);
    lines_.erase(first);
  } else {
    lines_.splice(lines_.end(), lines_, first);
  }
  return out;
}

void job_turns::give_back(uint64_t whose) {
  if (auto i = by_whose_.find(whose); i != by_whose_.end())
    lines_.splice(lines_.begin(), lines_, i->second);
}

std::vector<job_turns::job> job_turns::take_all() {
  std::vector<job> out;
  while (num_waiting_ > 0)
    out.push_back(take().what);
  return out;
}

turn_queue::turn_queue(size_t max_cost)
  : waiting_(std::make_shared<shared>(max_cost)), thread_(SIZE_MAX) {
}

bool turn_queue::post(uint64_t whose, job_turns::job x, size_t cost) {
  {
    std::lock_guard guard{waiting_->mutex};
    if (!waiting_->turns.add(whose, std::move(x), cost))
      return false;
  }
  return thread_.post(1, [from = waiting_] {
    job_turns::turn next;
    {
      std::lock_guard guard{from->mutex};
      next = from->turns.take();
    }
    if (!next.what || next.what())
      return;
    std::lock_guard guard{from->mutex};
    from->turns.give_back(next.whose);
  });
}

void turn_queue::stop_now() {
  std::vector<job_turns::job> dropped;
  {
    std::lock_guard guard{waiting_->mutex};
    dropped = waiting_->turns.take_all();
  }
  dropped.clear(); // what they hold does not wait for the job that runs
  thread_.stop_now();
}

} // namespace troupe
