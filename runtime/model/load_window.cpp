#include "runtime/model/load_window.hpp"

#include "kernels/check.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Enough for one part to be waited for while others are packed.
constexpr size_t num_streams = 4;

} // namespace

/// Memory that parts share, one behind the other, and that is used again when
/// the last of them has gone.
struct load_window::chunk {
  kernels::host_ptr memory;
  uint64_t used = 0;
  uint32_t num_parts = 0;
};

load_window::load_window(kernels::device& dev, uint64_t limit)
  : dev_(dev), limit_(limit) {
  for (size_t i = 0; i < num_streams; ++i)
    streams_.push_back(dev.make_stream());
}

load_window::~load_window() = default;

load_window::part load_window::claim(uint64_t num_bytes) {
  enter(num_bytes);
  if (!open_ || open_->memory->size() - open_->used < num_bytes)
    if (!open_chunk(num_bytes)) {
      in_flight_ -= num_bytes;
      return {};
    }
  part out{{open_->memory->data() + open_->used, num_bytes}, open_};
  // The next one begins a line of its own.
  open_->used = std::min(open_->memory->size(),
                         (open_->used + num_bytes + 63) / 64 * 64);
  ++open_->num_parts;
  return out;
}

bool load_window::open_chunk(uint64_t num_bytes) {
  if (open_ && open_->num_parts == 0)
    free_.push_back(open_);
  open_ = nullptr;
  if (num_bytes <= part_bytes && !free_.empty()) {
    open_ = free_.back();
    free_.pop_back();
    open_->used = 0;
    return true;
  }
  auto memory = dev_.allocate_host(std::max(num_bytes, part_bytes));
  if (!memory)
    return false;
  chunks_.push_back(std::make_unique<chunk>(chunk{std::move(memory)}));
  open_ = chunks_.back().get();
  return true;
}

void load_window::submit(kernels::operation op, const part& x) {
  CHECK(x);
  enqueue(std::move(op), {x.home, x.bytes.size()});
}

void load_window::submit(kernels::operation op, uint64_t num_bytes) {
  enter(num_bytes);
  enqueue(std::move(op), {nullptr, num_bytes});
}

void load_window::enqueue(kernels::operation op, passage x) {
  submitted_ += x.num_bytes;
  auto& stream = *streams_[turn_++ % streams_.size()];
  stream.enqueue(std::move(op));
  stream.notify([this, x](const kernels::stream_status& status) {
    std::lock_guard guard{arrivals_.mutex};
    if (arrivals_.status)
      arrivals_.status = status;
    arrivals_.passed.push_back(x);
    arrivals_.bytes += x.num_bytes;
    if (arrivals_.wanted > 0 && arrivals_.bytes >= arrivals_.wanted)
      arrivals_.came.notify_one();
  });
}

void load_window::give_back(const part& x) {
  leave({x.home, x.bytes.size()});
}

void load_window::leave(const passage& x) {
  in_flight_ -= x.num_bytes;
  if (!x.home || --x.home->num_parts > 0)
    return;
  if (x.home->memory->size() > part_bytes) {
    open_ = open_ == x.home ? nullptr : open_;
    std::erase_if(chunks_, [&](auto& c) { return c.get() == x.home; });
  } else if (x.home == open_) {
    open_->used = 0;
  } else {
    free_.push_back(x.home);
  }
}

kernels::stream_status load_window::finish() {
  while (submitted_ > 0)
    collect();
  std::lock_guard guard{arrivals_.mutex};
  return arrivals_.status;
}

void load_window::enter(uint64_t num_bytes) {
  while (submitted_ > 0 && in_flight_ + num_bytes > limit_)
    collect();
  in_flight_ += num_bytes;
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
}

/// Waits until a good part of the window has passed: to wake up for every one
/// takes longer.
void load_window::collect() {
  CHECK(submitted_ > 0);
  auto wanted = std::min(submitted_, std::max<uint64_t>(limit_ / 4, 1));
  std::vector<passage> passed;
  {
    std::unique_lock lock{arrivals_.mutex};
    arrivals_.wanted = wanted;
    arrivals_.came.wait(lock,
                        [this] { return arrivals_.bytes >= arrivals_.wanted; });
    arrivals_.wanted = arrivals_.bytes = 0;
    passed.swap(arrivals_.passed);
  }
  for (auto& x : passed) {
    submitted_ -= x.num_bytes;
    leave(x);
  }
}

} // namespace troupe
