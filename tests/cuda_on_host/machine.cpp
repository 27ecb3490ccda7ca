#include "tests/cuda_on_host/machine.hpp"

#include "kernels/check.hpp"

#include <numeric>

namespace troupe::kernels::on_host {

namespace {

/// A block's own part of what is not given at launch; the rest follows it.
constexpr uint32_t max_static_bytes = 48 << 10;

uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

} // namespace

machine& machine::here() {
  static thread_local machine own;
  return own;
}

std::string machine::launch(const launch_shape& shape,
                            const std::function<void()>& thread) {
  CHECK(shape.threads > 0 && shape.threads <= max_threads);
  CHECK(shape.threads % warp_size == 0);
  CHECK(shape.x > 0 && shape.y > 0 && shape.z > 0);
  if (shape.y > max_side || shape.z > max_side)
    return "more blocks in y or z than a grid may have";
  if (shape.shared_bytes > max_shared_bytes)
    return "more shared memory than a block may have";
  shape_ = shape;
  fault_.clear();
  if ((++launch_ & 0x3fff) == 0) { // as if nobody had been there
    ++launch_;
    shadow_.clear();
  }
  if (shadow_.num_pages() > 4096)
    shadow_.clear();
  shared_.resize(max_static_bytes + max_shared_bytes + 64);
  shared_shadow_.resize(shared_.size());
  while (fibers_.size() < shape.threads)
    fibers_.push_back(std::make_unique<fiber>());
  auto num_blocks = uint64_t{shape.x} * shape.y * shape.z;
  CHECK(num_blocks < 1u << 31);
  for (uint32_t i = 0; i < num_blocks && fault_.empty(); ++i) {
    block_number_ = next_in_order(i, uint32_t(num_blocks), 0);
    block_.x = uint32_t(block_number_ % shape.x);
    block_.y = uint32_t(block_number_ / shape.x % shape.y);
    block_.z = uint32_t(block_number_ / shape.x / shape.y);
    run_block(thread);
  }
  return fault_;
}

/// The place of `i` in an order of `count`; shuffled: multiplied by what has no
/// factor in common with the count.
uint32_t machine::next_in_order(uint32_t i, uint32_t count,
                                uint64_t salt) const {
  if (order_ == order::ascending)
    return i;
  if (order_ == order::descending)
    return count - 1 - i;
  auto random = mixed(seed_ * 31 + salt);
  auto factor = random % count | 1;
  while (std::gcd(factor, uint64_t{count}) != 1)
    factor += 2;
  return uint32_t((factor * i + (random >> 32)) % count);
}

void machine::start_block() {
  auto num_used = max_static_bytes + shape_.shared_bytes + 64;
  std::memset(shared_.data(), 0xff, num_used);
  std::fill_n(shared_shadow_.begin(), num_used, touched{});
  warps_.resize(shape_.threads / warp_size);
  for (auto& w : warps_) {
    w.doing = nullptr;
    w.arrived = 0;
    w.rounds = w.barriers = 0;
  }
  waits_for_.assign(shape_.threads, nullptr);
  named_.clear();
  named_bytes_ = 0;
  at_barrier_ = 0;
  barriers_ = 0;
}

void machine::run_thread(void* self) {
  auto m = static_cast<machine*>(self);
  try {
    (*m->thread_)();
  } catch (const stopped&) {
    // The fault has been noted.
  }
}

void machine::run_block(const std::function<void()>& thread) {
  start_block();
  thread_ = &thread;
  for (uint32_t i = 0; i < shape_.threads; ++i)
    fibers_[i]->start(&machine::run_thread, this);
  for (uint32_t left = shape_.threads; left > 0 && fault_.empty();) {
    auto before = steps_;
    left = 0;
    for (uint32_t i = 0; i < shape_.threads && fault_.empty(); ++i) {
      current_ = next_in_order(i, shape_.threads, block_number_ + 1);
      auto& f = *fibers_[current_];
      if (f.has_ended())
        continue;
      f.resume();
      if (f.has_ended())
        ++steps_;
      else
        ++left;
    }
    if (left == 0 || steps_ != before || !fault_.empty())
      continue;
    for (current_ = 0; !waits_for_[current_]; ++current_)
      continue;
    fault_ = std::string{"waits for others at "} + waits_for_[current_]
             + " for ever" + place();
  }
}

std::string machine::place() const {
  auto n = [](uint64_t x) { return std::to_string(x); };
  return ": thread " + n(current_) + " of block (" + n(block_.x) + ", "
         + n(block_.y) + ", " + n(block_.z) + ")";
}

void machine::fail(const std::string& why) {
  if (fault_.empty())
    fault_ = why + place();
  throw stopped{};
}

void machine::pause() {
  fibers_[current_]->pause();
}

void machine::sync_block() {
  auto round = barriers_;
  waits_for_[current_] = "a barrier of the block";
  ++steps_;
  if (++at_barrier_ == shape_.threads) {
    at_barrier_ = 0;
    ++barriers_;
  } else {
    while (barriers_ == round)
      pause();
  }
  waits_for_[current_] = nullptr;
}

machine::warp& machine::arrive(const char* what) {
  auto& w = warps_[current_ / warp_size];
  if (w.arrived > 0 && w.doing != what)
    fail(std::string{what} + " where other threads of the warp are at "
         + w.doing);
  w.doing = what;
  ++steps_;
  return w;
}

void machine::wait_for_round(warp& w, const char* what) {
  auto round = w.rounds;
  waits_for_[current_] = what;
  while (w.rounds == round)
    pause();
  waits_for_[current_] = nullptr;
}

void machine::sync_warp() {
  auto& w = arrive("a barrier of the warp");
  if (++w.arrived < warp_size)
    return wait_for_round(w, "a barrier of the warp");
  w.arrived = 0;
  ++w.rounds;
  ++w.barriers;
}

std::byte* machine::static_shared(const void* place, uint32_t bytes) {
  for (auto& x : named_)
    if (x.place == place)
      return shared_.data() + x.offset;
  named_.push_back({place, named_bytes_});
  named_bytes_ += (bytes + 63) / 64 * 64;
  CHECK(named_bytes_ <= max_static_bytes);
  return shared_.data() + named_.back().offset;
}

std::byte* machine::dynamic_shared(uint32_t offset, uint64_t bytes) {
  if (offset + bytes > shape_.shared_bytes)
    fail("takes more shared memory than the launch gives");
  auto base = (reinterpret_cast<uintptr_t>(shared_.data()) + 63) / 64 * 64;
  return reinterpret_cast<std::byte*>(base) + max_static_bytes + offset;
}

moment machine::now() const {
  return {launch_, block_number_, barriers_,
          warps_[current_ / warp_size].barriers, current_};
}

touched& machine::record_of(uintptr_t address) {
  auto offset = address - reinterpret_cast<uintptr_t>(shared_.data());
  return offset < shared_.size() ? shared_shadow_[offset] : shadow_.at(address);
}

void machine::on_read(const void* p, uint32_t bytes, bool is_shared) {
  auto address = reinterpret_cast<uintptr_t>(p);
  auto m = now();
  stamp here{m, stamp::one};
  for (uint32_t i = 0; i < bytes; ++i) {
    auto& t = record_of(address + i);
    if (t.read_at(m))
      fail("reads what another thread writes, with no barrier in between");
    if (is_shared && !t.written.is_of_block(here) && !t.added.is_of_block(here))
      fail("reads shared memory that nobody has written");
  }
}

void machine::on_write(const void* p, uint32_t bytes) {
  auto address = reinterpret_cast<uintptr_t>(p);
  auto m = now();
  for (uint32_t i = 0; i < bytes; ++i)
    if (record_of(address + i).write_at(m))
      fail("writes what another thread reads or writes, with no barrier in "
           "between");
}

void machine::on_add(const void* p, uint32_t bytes) {
  auto address = reinterpret_cast<uintptr_t>(p);
  auto m = now();
  for (uint32_t i = 0; i < bytes; ++i)
    if (record_of(address + i).add_at(m))
      fail("adds to what another thread reads or writes, with no barrier in "
           "between");
}

} // namespace troupe::kernels::on_host
