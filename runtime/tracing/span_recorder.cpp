#include "runtime/tracing/span_recorder.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe {

span_track::span_track(track_kind kind, uint32_t number, size_t capacity,
                       const clock& time)
  : kind_(kind), number_(number), time_(time), ring_(capacity),
    since_(time.now()) {
  CHECK(capacity > 0);
}

void span_track::put(const span& x) {
  ring_[num_added_++ % ring_.size()] = x;
}

void span_track::add(const span& x) {
  std::lock_guard lock{mutex_};
  put(x);
}

void span_track::begin() {
  auto now = time_.now();
  std::lock_guard lock{mutex_};
  since_ = now;
}

void span_track::end(span x, const std::vector<span>& parts) {
  x.end = time_.now();
  std::lock_guard lock{mutex_};
  x.begin = std::exchange(since_, x.end);
  put(x);
  for (auto part : parts) {
    part.begin = x.begin;
    part.end = x.end;
    put(part);
  }
}

track_spans span_track::read() const {
  std::lock_guard lock{mutex_};
  track_spans out{kind_, number_, 0, {}};
  auto size = std::min<uint64_t>(num_added_, ring_.size());
  out.num_missing = num_added_ - size;
  out.spans.reserve(size);
  for (auto i = num_added_ - size; i < num_added_; ++i)
    out.spans.push_back(ring_[i % ring_.size()]);
  return out;
}

span_recorder::span_recorder(std::string node, const clock& time,
                             size_t capacity)
  : name_(std::move(node)), time_(time), capacity_(capacity), requests_(time) {
}

void span_recorder::identify(node_id node) {
  node_ = node;
}

span_track& span_recorder::open(track_kind kind, uint32_t number) {
  std::lock_guard lock{mutex_};
  for (auto& x : tracks_)
    if (x.kind == kind && x.number == number)
      return *x.track;
  tracks_.push_back(
    {kind, number,
     std::make_unique<span_track>(kind, number, capacity_, time_)});
  return *tracks_.back().track;
}

node_spans span_recorder::read() const {
  std::lock_guard lock{mutex_};
  node_spans out{node_, name_, {}};
  for (auto& x : tracks_)
    out.tracks.push_back(x.track->read());
  out.requests = requests_.read();
  return out;
}

} // namespace troupe
