#include "runtime/kv_store/kv_io.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace troupe {

namespace {

/// For threads to come to their end.
constexpr std::chrono::seconds patience{2};

} // namespace

kv_io::kv_io(uint32_t num_threads) {
  state_->num_threads = state_->num_alive = num_threads;
  for (uint32_t i = 0; i < num_threads; ++i)
    std::thread{[of = state_] { run(of); }}.detach();
}

kv_io::~kv_io() {
  std::unique_lock lock{state_->mutex};
  state_->is_over = true;
  auto dropped = std::exchange(state_->reads, {});
  state_->changed.notify_all();
  auto all_gone = [this] { return state_->num_alive == 0; };
  if (!state_->changed.wait_for(lock, patience, all_gone))
    state_->writes.clear();
}

bool kv_io::read(job what, job dropped) {
  return post(state_->reads, {std::move(what), std::move(dropped)});
}

bool kv_io::write(job what, job dropped) {
  return post(state_->writes, {std::move(what), std::move(dropped)});
}

void kv_io::erase(job what) {
  if (state_->num_threads == 0)
    return what();
  std::lock_guard guard{state_->mutex};
  state_->erasures.push_back({std::move(what), {}});
  state_->changed.notify_one();
}

void kv_io::drop_reads() {
  drop(state_->reads);
}

void kv_io::drop_writes() {
  drop(state_->writes);
}

void kv_io::drop(queue& from) {
  queue all;
  {
    std::lock_guard guard{state_->mutex};
    all.swap(from);
  }
  for (auto& x : all)
    if (x.dropped)
      x.dropped();
}

bool kv_io::post(queue& to, posted x) {
  if (state_->num_threads == 0) {
    x.what();
    return true;
  }
  std::lock_guard guard{state_->mutex};
  if (to.size() >= max_waiting)
    return false;
  to.push_back(std::move(x));
  state_->changed.notify_one();
  return true;
}

void kv_io::run(const std::shared_ptr<state>& of) {
  std::unique_lock lock{of->mutex};
  for (;;) {
    of->changed.wait(lock, [&] { return of->is_over || of->next(); });
    auto* from = of->next();
    if (!from)
      break;
    auto is_read = from == &of->reads;
    auto erases = from == &of->erasures;
    if (is_read)
      ++of->num_in_row;
    else if (!erases)
      of->num_in_row = 0;
    auto next = std::move(from->front());
    from->pop_front();
    of->num_writing += !is_read;
    of->is_erasing |= erases;
    lock.unlock();
    next.what();
    next = {}; // what it holds goes before the lock is taken
    lock.lock();
    of->num_writing -= !is_read;
    if (erases)
      of->is_erasing = false;
    if (of->next())
      of->changed.notify_one();
  }
  --of->num_alive;
  of->changed.notify_all();
}

} // namespace troupe
