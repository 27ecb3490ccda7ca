#include "runtime/task_queue.hpp"

#include <utility>

namespace troupe {

task_queue::task_queue(size_t max_cost)
  : max_cost_(max_cost), thread_([this] { run(); }) {
}

task_queue::~task_queue() {
  stop();
}

bool task_queue::post(size_t cost, std::function<void()> job) {
  std::lock_guard guard{mutex_};
  if (stopped_ || cost_ + cost > max_cost_)
    return false;
  cost_ += cost;
  waiting_.push_back({cost, std::move(job)});
  changed_.notify_one();
  return true;
}

void task_queue::stop() {
  {
    std::lock_guard guard{mutex_};
    stopped_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable())
    thread_.join();
}

void task_queue::stop_now() {
  std::deque<task> dropped;
  {
    std::lock_guard guard{mutex_};
    stopped_ = true;
    dropped.swap(waiting_);
    cost_ = 0;
  }
  dropped.clear(); // what it holds does not wait for the job that runs
  stop();
}

void task_queue::run() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (waiting_.empty())
      return;
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    cost_ -= next.cost;
    lock.unlock();
    next.job();
    next.job = nullptr; // what it holds goes before the lock is taken
    lock.lock();
  }
}

} // namespace troupe
