#pragma once

/// One thread that does jobs in order, and a limit on what may wait for it.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace troupe {

class task_queue {
public:
  /// `max_cost`: of all jobs that wait, in a unit that the caller chooses.
  explicit task_queue(size_t max_cost);

  /// Does what waits, then ends.
  ~task_queue();

  /// Returns false, and drops `job`, if too much waits already or the queue
  /// has been stopped.
  bool post(size_t cost, std::function<void()> job);

  /// Accepts nothing more, does what waits and ends the thread.
  void stop();

  /// The same, but drops what waits.
  void stop_now();

private:
  struct task {
    size_t cost;
    std::function<void()> job;
  };

  void run();

  const size_t max_cost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<task> waiting_;
  size_t cost_ = 0;
  bool stopped_ = false;
  std::thread thread_;
};

} // namespace troupe
