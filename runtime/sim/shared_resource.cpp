#include "runtime/sim/shared_resource.hpp"

namespace troupe {

void shared_resource::enqueue(turn when, work x) {
  auto is_urgent = when == turn::urgent;
  queues_[size_t(when)].push(std::move(x));
  if (is_busy() && is_urgent && queue_ == size_t(turn::patient))
    suspend();
  go();
}

void shared_resource::suspend() {
  world_.cancel(std::exchange(event_, 0));
  note();
  queues_[queue_].front().time -= world_.now() - since_;
}

void shared_resource::go() {
  if (is_busy())
    return;
  queue_ = queues_[0].empty() ? 1 : 0;
  if (queues_[queue_].empty())
    return;
  since_ = world_.now();
  event_ = world_.after(no_life, queues_[queue_].front().time,
                        [this] { end(); });
}

void shared_resource::end() {
  event_ = 0;
  note();
  auto ended = queues_[queue_].pop();
  if (ended.done)
    ended.done();
  go();
}

void shared_resource::note() {
  auto& x = queues_[queue_].front();
  if (!x.is_seen || since_ == world_.now())
    return;
  auto stretch = x.what;
  stretch.begin = since_;
  stretch.end = world_.now();
  record_(stretch);
}

} // namespace troupe
