#pragma once

/// The threads of a CPU device, shared by all of its streams. Tasks are whole
/// pieces of a stream; a parallel region splits one operation. The thread that
/// opens a region works on it too, and idle threads help, so that a pool of
/// one thread cannot deadlock. How an operation is split follows from its
/// shape, never from the number of threads.
///
/// A thread without work spins for at most 50 us and then sleeps. This class
/// owns its threads and reads the clock to bound the spinning.

#include "kernels/host/crowd.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe::kernels {

class thread_pool {
public:
  /// Tasks that may wait; more is a bug of the caller.
  static constexpr size_t max_tasks = 1 << 16;

  /// Null if the system gives no `num_threads`, of which there is at least
  /// one.
  static std::shared_ptr<thread_pool> start(uint32_t num_threads);

  /// For those who know that there are so few to be had. A pool of none takes
  /// no tasks; whoever opens a region does all of it.
  explicit thread_pool(uint32_t num_threads);
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// Runs what was submitted, then joins.
  ~thread_pool();

  uint32_t num_threads() const {
    return uint32_t(threads_.size());
  }

  /// Runs `task` on some thread of the pool. Waiting tasks start in order and
  /// go before helping with regions.
  void submit(std::function<void()> task);

  /// Returns whether a task waits for a thread; stale as soon as it is read.
  bool has_waiting_tasks() const {
    return num_tasks_.load(std::memory_order_relaxed) > 0;
  }

  /// Calls fn(piece) for each piece in [0, num_pieces), on this thread and on
  /// idle ones, in any order; returns when all calls have returned. Any thread
  /// may call it, also from within a piece. `fn` must not throw. A thread takes
  /// neighbouring pieces while there are any, so that it reads memory in order.
  template <class Fn>
  void parallel_for(uint32_t num_pieces, const Fn& fn) {
    if (num_pieces <= 1 || num_threads() <= 1) {
      for (uint32_t i = 0; i < num_pieces; ++i)
        fn(i);
      return;
    }
    auto call = [](const void* context, uint32_t piece) {
      (*static_cast<const Fn*>(context))(piece);
    };
    run_region(num_pieces, call, &fn);
  }

private:
  struct as_many_as_there_are {};
  thread_pool(uint32_t num_threads, as_many_as_there_are);

  using piece_fn = void (*)(const void* context, uint32_t piece);

  /// Neighbouring pieces that one thread is to take, others only when their
  /// own are gone.
  struct alignas(64) segment {
    std::atomic<uint32_t> next = 0;
    uint32_t end = 0;
  };

  static constexpr uint32_t max_segments = 32;

  /// Lives on the stack of the thread that opened it.
  struct region {
    region(piece_fn fn, const void* context, uint32_t num_pieces,
           uint32_t num_threads);

    piece_fn fn;
    const void* context;
    uint32_t num_segments;
    segment segments[max_segments];
    std::atomic<uint32_t> num_joined = 0;
    std::atomic<uint32_t> num_left;    ///< Pieces that nobody has taken.
    std::atomic<uint32_t> helpers = 0; ///< Written under the mutex.
    bool owner_sleeps = false;         ///< Under the mutex.
  };

  void run_region(uint32_t num_pieces, piece_fn fn, const void* context);
  void work_on(region& job);
  void work_on(region& job, segment& part);
  void leave(region& job);
  void wait_for_helpers(region& job);
  void work();
  bool run_task(std::unique_lock<std::mutex>& lock);
  bool help(std::unique_lock<std::mutex>& lock);
  bool has_work() const;

  crowd others_;
  std::mutex mutex_;
  std::condition_variable work_came_;
  std::condition_variable helper_left_;
  std::deque<std::function<void()>> tasks_;
  std::vector<region*> regions_;
  std::atomic<uint32_t> num_tasks_ = 0;
  std::atomic<uint32_t> open_regions_ = 0; ///< With pieces nobody has taken.
  uint32_t sleepers_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

} // namespace troupe::kernels
