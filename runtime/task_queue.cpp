#include "runtime/task_queue.hpp"

#include <utility>

namespace troupe {

task_queue::task_queue(size_t max_cost)
  : max_cost_(max_cost), thread_([at = desk_] { run(*at); }) {
}

task_queue::~task_queue() {
  stop();
}

bool task_queue::post(size_t cost, std::function<void()> job) {
  std::lock_guard guard{desk_->mutex};
  if (desk_->is_stopped || desk_->cost + cost > max_cost_)
    return false;
  desk_->cost += cost;
  desk_->waiting.push_back({cost, std::move(job)});
  desk_->changed.notify_all();
  return true;
}

void task_queue::stop() {
  {
    std::lock_guard guard{desk_->mutex};
    desk_->is_stopped = true;
    desk_->changed.notify_all();
  }
  if (thread_.joinable())
    thread_.join();
}

void task_queue::drop() {
  std::deque<task> dropped;
  {
    std::lock_guard guard{desk_->mutex};
    desk_->is_stopped = true;
    dropped.swap(desk_->waiting);
    desk_->cost = 0;
    desk_->changed.notify_all();
  }
  dropped.clear(); // what it holds does not wait for the job that runs
}

void task_queue::stop_now() {
  drop();
  stop();
}

bool task_queue::stop_within(std::chrono::milliseconds limit) {
  auto is_in_time = [&] {
    std::unique_lock lock{desk_->mutex};
    desk_->is_stopped = true;
    desk_->changed.notify_all();
    return desk_->changed.wait_for(lock, limit,
                                   [this] { return desk_->is_over; });
  }();
  if (is_in_time) {
    stop();
    return true;
  }
  drop();
  thread_.detach();
  return false;
}

void task_queue::run(desk& at) {
  std::unique_lock lock{at.mutex};
  for (;;) {
    at.changed.wait(lock, [&] { return at.is_stopped || !at.waiting.empty(); });
    if (at.waiting.empty())
      break;
    auto next = std::move(at.waiting.front());
    at.waiting.pop_front();
    at.cost -= next.cost;
    lock.unlock();
    next.job();
    next.job = nullptr; // what it holds goes before the lock is taken
    lock.lock();
  }
  at.is_over = true;
  at.changed.notify_all();
}

} // namespace troupe
