#pragma once

/// One thread that does jobs in order, and a limit on what may wait for it.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
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

  /// As stop(), for so long. Returns false, and leaves the thread alone with
  /// the job that takes longer and all that it holds; what waits is dropped.
  bool stop_within(std::chrono::milliseconds limit);

private:
  struct task {
    size_t cost;
    std::function<void()> job;
  };

  /// What the thread has, who may be left alone with it.
  struct desk {
    std::mutex mutex; ///< For what follows.
    std::condition_variable changed;
    std::deque<task> waiting;
    size_t cost = 0;
    bool is_stopped = false;
    bool is_over = false;
  };

  static void run(desk& at);
  void drop();

  const size_t max_cost_;
  const std::shared_ptr<desk> desk_ = std::make_shared<desk>();
  std::thread thread_;
};

} // namespace troupe
