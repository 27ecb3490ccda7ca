#include "kernels/host/thread_pool.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace troupe::kernels {

namespace {

constexpr auto max_spin = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Spins until `done()`, at most for `max_spin`. It yields now and then: the
/// cores belong to other threads too, maybe to the one that we wait for.
template <class Done>
bool spin_until(crowd& others, Done done) {
  if (others.is_dense())
    return done();
  auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      if (done())
        return true;
      pause();
    }
    others.yield();
  } while (std::chrono::steady_clock::now() - start < max_spin);
  return done();
}

} // namespace

std::shared_ptr<thread_pool> thread_pool::start(uint32_t num_threads) {
  std::shared_ptr<thread_pool> out{
    new thread_pool{num_threads, as_many_as_there_are{}}};
  return out->num_threads() == num_threads ? out : nullptr;
}

thread_pool::thread_pool(uint32_t num_threads)
  : thread_pool(num_threads, as_many_as_there_are{}) {
  CHECK(threads_.size() == num_threads);
}

thread_pool::thread_pool(uint32_t num_threads, as_many_as_there_are) {
  threads_.reserve(num_threads);
  // The workers read threads_.size(): let them begin when it is final.
  std::lock_guard guard(mutex_);
  try { // the standard library has no other way to say it
    for (uint32_t i = 0; i < num_threads; ++i)
      threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    return; // with those that there are
  }
}

thread_pool::~thread_pool() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  work_came_.notify_all();
  for (auto& thread : threads_)
    thread.join();
}

void thread_pool::submit(std::function<void()> task) {
  CHECK(!threads_.empty());
  bool wake = false;
  {
    std::lock_guard guard(mutex_);
    CHECK(tasks_.size() < max_tasks);
    tasks_.push_back(std::move(task));
    num_tasks_.fetch_add(1, std::memory_order_relaxed);
    wake = sleepers_ > 0;
  }
  if (wake)
    work_came_.notify_one();
}

thread_pool::region::region(piece_fn fn, const void* context,
                            uint32_t num_pieces, uint32_t num_threads)
  : fn(fn), context(context),
    num_segments(std::min({num_threads, num_pieces, max_segments})),
    num_left(num_pieces) {
  for (uint32_t i = 0; i < num_segments; ++i) {
    segments[i].next = uint32_t(uint64_t{num_pieces} * i / num_segments);
    segments[i].end = uint32_t(uint64_t{num_pieces} * (i + 1) / num_segments);
  }
}

void thread_pool::run_region(uint32_t num_pieces, piece_fn fn,
                             const void* context) {
  region job{fn, context, num_pieces, num_threads()};
  uint32_t wake = 0;
  {
    std::lock_guard guard(mutex_);
    regions_.push_back(&job);
    open_regions_.fetch_add(1, std::memory_order_relaxed);
    wake = std::min(sleepers_, num_pieces - 1);
  }
  for (uint32_t i = 0; i < wake; ++i)
    work_came_.notify_one();
  work_on(job);
  {
    std::lock_guard guard(mutex_);
    regions_.erase(std::find(regions_.begin(), regions_.end(), &job));
  }
  wait_for_helpers(job);
}

void thread_pool::work_on(region& job) {
  auto first = job.num_joined.fetch_add(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < job.num_segments; ++i)
    work_on(job, job.segments[(first + i) % job.num_segments]);
}

void thread_pool::work_on(region& job, segment& part) {
  for (;;) {
    auto piece = part.next.fetch_add(1, std::memory_order_relaxed);
    if (piece >= part.end)
      return;
    if (job.num_left.fetch_sub(1, std::memory_order_relaxed) == 1)
      open_regions_.fetch_sub(1, std::memory_order_relaxed);
    job.fn(job.context, piece);
  }
}

void thread_pool::wait_for_helpers(region& job) {
  auto alone = [&] { return job.helpers.load(std::memory_order_acquire) == 0; };
  if (spin_until(others_, alone))
    return;
  std::unique_lock lock(mutex_);
  job.owner_sleeps = true;
  helper_left_.wait(lock, alone);
}

/// Runs with the mutex held. The region may be gone as soon as the number of
/// helpers is zero.
void thread_pool::leave(region& job) {
  auto wake = job.owner_sleeps;
  job.helpers.fetch_sub(1, std::memory_order_release);
  if (wake)
    helper_left_.notify_all();
}

bool thread_pool::has_work() const {
  return num_tasks_.load(std::memory_order_relaxed) > 0
         || open_regions_.load(std::memory_order_relaxed) > 0;
}

bool thread_pool::run_task(std::unique_lock<std::mutex>& lock) {
  if (tasks_.empty())
    return false;
  {
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    num_tasks_.fetch_sub(1, std::memory_order_relaxed);
    lock.unlock();
    task();
  }
  lock.lock();
  return true;
}

bool thread_pool::help(std::unique_lock<std::mutex>& lock) {
  auto has_pieces = [](const region* job) {
    return job->num_left.load(std::memory_order_relaxed) > 0;
  };
  auto it = std::find_if(regions_.begin(), regions_.end(), has_pieces);
  if (it == regions_.end())
    return false;
  auto& job = **it;
  job.helpers.fetch_add(1, std::memory_order_relaxed);
  lock.unlock();
  work_on(job);
  lock.lock();
  leave(job);
  return true;
}

void thread_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (run_task(lock) || help(lock))
      continue;
    if (stopping_)
      return;
    lock.unlock();
    auto found = spin_until(others_, [this] { return has_work(); });
    lock.lock();
    if (found || stopping_)
      continue;
    ++sleepers_;
    work_came_.wait(lock, [this] { return stopping_ || has_work(); });
    --sleepers_;
  }
}

} // namespace troupe::kernels
