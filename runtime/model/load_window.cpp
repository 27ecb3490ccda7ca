#include "runtime/model/load_window.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Enough for one part to be waited for while others are packed.
constexpr size_t num_streams = 4;

} // namespace

load_window::load_window(const checkpoint& source, kernels::device& dev,
                         uint64_t limit)
  : source_(source), limit_(limit) {
  for (size_t i = 0; i < num_streams; ++i)
    streams_.push_back(dev.make_stream());
}

void load_window::submit(kernels::operation op, std::span<const std::byte> part,
                         uint64_t copied) {
  passage x{part, part.size() + copied};
  enter(x.bytes);
  source_.read_ahead(part);
  auto& stream = *streams_[turn_++ % streams_.size()];
  stream.enqueue(std::move(op));
  stream.notify([this, x](const kernels::stream_status& status) {
    std::lock_guard guard{arrivals_.mutex};
    if (arrivals_.status)
      arrivals_.status = status;
    arrivals_.passed.push_back(x);
    arrivals_.bytes += x.bytes;
    if (arrivals_.wanted > 0 && arrivals_.bytes >= arrivals_.wanted)
      arrivals_.came.notify_one();
  });
}

void load_window::leave(std::span<const std::byte> part) {
  enter(part.size());
  take({part, part.size()});
}

kernels::stream_status load_window::finish() {
  while (in_flight_ > 0)
    collect();
  std::lock_guard guard{arrivals_.mutex};
  return arrivals_.status;
}

void load_window::enter(uint64_t bytes) {
  while (in_flight_ > 0 && in_flight_ + bytes > limit_)
    collect();
  in_flight_ += bytes;
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
}

void load_window::take(const passage& x) {
  read_bytes_ += x.bytes;
  read_.push_back(x.part);
}

/// Waits until a good part of the window has passed and gives that back: to
/// wake up for every part, and to call the system for each, takes longer.
void load_window::collect() {
  auto wanted = std::min(in_flight_, std::max<uint64_t>(limit_ / 4, 1));
  std::vector<passage> passed;
  if (read_bytes_ < wanted) {
    std::unique_lock lock{arrivals_.mutex};
    arrivals_.wanted = wanted - read_bytes_;
    arrivals_.came.wait(lock,
                        [this] { return arrivals_.bytes >= arrivals_.wanted; });
    arrivals_.wanted = arrivals_.bytes = 0;
    passed.swap(arrivals_.passed);
  }
  for (auto& x : passed)
    take(x);
  give_back();
}

void load_window::give_back() {
  std::ranges::sort(read_, {}, [](auto& x) { return x.data(); });
  for (size_t i = 0; i < read_.size();) {
    auto part = read_[i++];
    // Neighbours of one file; files lie apart by their headers at least.
    while (i < read_.size() && read_[i].data() == part.data() + part.size())
      part = {part.data(), part.size() + read_[i++].size()};
    source_.give_back(part);
  }
  read_.clear();
  in_flight_ -= read_bytes_;
  read_bytes_ = 0;
}

} // namespace troupe
