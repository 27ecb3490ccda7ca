#pragma once

/// Gathers the answers of all workers of a node to one slab of rows, so that
/// they go back in one frame, or in as few as their size allows. Workers write
/// where it says, each its own rows; whoever writes the last row that a frame
/// waits for sends it. Thread-safe.
///
/// A frame of whose rows some are never written is never sent.

#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab_pool.hpp"
#include "runtime/planted.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace troupe {

class answer_collector {
public:
  /// For answers of `row_bytes` bytes to `sections`, the first of which has the
  /// number `first`, in frames of at most `frame_rows` rows.
  answer_collector(std::span<const slab_section> sections, uint64_t first,
                   uint64_t row_bytes, uint32_t frame_rows);

  /// Claims memory for all frames, unless somebody has.
  slab_pool::room claim(slab_pool& pool, const std::function<void()>& on_room);

  bool is_claimed() const {
    return is_claimed_;
  }

  /// Calls `f(std::byte* to, uint32_t from, uint32_t count)` for every stretch
  /// of the rows [from, from + count) of a section that lies in one frame.
  /// Only once it is claimed.
  template <class F>
  void for_each_place(uint32_t section, uint32_t from, uint32_t count, F f) {
    for_each_stretch(section, from, count,
                     [&](frame& x, uint32_t at, uint32_t row, uint32_t n) {
                       f(x.slab.data.get() + x.head + at * row_bytes_, row, n);
                     });
  }

  /// These rows are written. Calls `send(body)` for every frame that is
  /// complete by that and has nobody before it: frames leave in order, so that
  /// the answers to one section come in order. `send` must not block.
  template <class F>
  void written(uint32_t section, uint32_t from, uint32_t count, F send) {
    auto is_any_complete = false;
    for_each_stretch(section, from, count,
                     [&](frame& x, uint32_t, uint32_t, uint32_t n) {
                       is_any_complete |= x.num_missing.fetch_sub(n) == n;
                     });
    if (!is_any_complete)
      return;
    std::lock_guard guard{mutex_};
    while (num_sent_ < frames_.size() && frames_[num_sent_]->num_missing == 0) {
      auto slab = std::exchange(frames_[num_sent_++]->slab, {}).whole();
      send(PLANTED(answer_reused_early) ? body{nullptr, slab.bytes()}
                                        : std::move(slab));
    }
  }

private:
  struct frame {
    std::vector<answer_section> sections;
    uint64_t head = 0; ///< Bytes before the rows.
    uint32_t num_rows = 0;
    std::atomic<uint32_t> num_missing = 0;
    slab_pool::slab slab;
  };

  void add(worker_id worker, uint32_t num_rows);

  template <class F>
  void for_each_stretch(uint32_t section, uint32_t from, uint32_t count, F f) {
    CHECK(is_claimed_);
    auto row = base_[section] + from;
    while (count > 0) {
      auto at = row % frame_rows_;
      auto n = std::min(count, frame_rows_ - at);
      f(*frames_[row / frame_rows_], at, from, n);
      row += n;
      from += n;
      count -= n;
    }
  }

  const uint64_t first_;
  const uint64_t row_bytes_;
  const uint32_t frame_rows_;
  std::vector<uint32_t> base_; ///< [sections]: its first row in the slab's.
  uint32_t num_rows_ = 0;
  std::vector<std::unique_ptr<frame>> frames_;
  std::mutex mutex_;    ///< Of claiming and sending.
  size_t num_sent_ = 0; ///< Frames; guarded.
  std::atomic<bool> is_claimed_ = false;
};

} // namespace troupe
