#pragma once

/// Who touched each byte of memory last, so that two threads that touch it
/// without a barrier in between are found, in whichever order they happened to
/// run.

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace troupe::kernels::on_host {

/// A moment of one thread.
struct moment {
  uint64_t launch = 0; ///< 1 .. 2^14 - 1, again and again
  uint64_t block = 0;
  uint64_t block_barriers = 0; ///< That the thread has passed.
  uint64_t warp_barriers = 0;
  uint64_t thread = 0; ///< Of the block, below 256.
};

/// One access in 64 bits; numbers are kept modulo their width.
class stamp {
public:
  enum kind : uint64_t { one, some_of_warp, some_of_block, some_of_grid };

  stamp() = default;

  stamp(const moment& m, kind k)
    : bits_((m.launch & 0x3fff) << 50 | (m.block & 0xffff) << 34
            | (m.block_barriers & 0x3fff) << 20
            | (m.warp_barriers & 0x3ff) << 10 | k << 8 | (m.thread & 0xff)) {
  }

  kind how() const {
    return kind(bits_ >> 8 & 3);
  }

  bool is_of_launch(const stamp& x) const {
    return bits_ >> 50 == x.bits_ >> 50;
  }

  bool is_of_block(const stamp& x) const {
    return bits_ >> 34 == x.bits_ >> 34;
  }

  /// Between the same two barriers of the same block.
  bool is_of_phase(const stamp& x) const {
    return bits_ >> 20 == x.bits_ >> 20;
  }

  bool is_of_warp(const stamp& x) const {
    return (bits_ & 0xe0) == (x.bits_ & 0xe0);
  }

  bool is_of_warp_phase(const stamp& x) const {
    return is_of_warp(x) && (bits_ >> 10 & 0x3ff) == (x.bits_ >> 10 & 0x3ff);
  }

  bool is_of_thread(const stamp& x) const {
    return (bits_ & 0xff) == (x.bits_ & 0xff);
  }

private:
  uint64_t bits_ = 0;
};

/// Whether nothing orders `now` behind what `before` stands for.
inline bool is_race(const stamp& before, const stamp& now) {
  if (!before.is_of_launch(now))
    return false;
  if (before.how() == stamp::some_of_grid || !before.is_of_block(now))
    return true;
  if (!before.is_of_phase(now))
    return false;
  if (before.how() == stamp::some_of_block || !before.is_of_warp(now))
    return true;
  if (!before.is_of_warp_phase(now))
    return false;
  return before.how() == stamp::some_of_warp || !before.is_of_thread(now);
}

/// What is known of one byte.
struct touched {
  stamp written;
  stamp read;
  stamp added; ///< By an atomic operation.

  /// Returns whether it is a race.
  bool read_at(const moment& m) {
    stamp now{m, stamp::one};
    if (is_race(written, now) || is_race(added, now))
      return true;
    read = joined(read, m);
    return false;
  }

  bool write_at(const moment& m) {
    stamp now{m, stamp::one};
    auto bad = is_race(written, now) || is_race(read, now)
               || is_race(added, now);
    written = now;
    return bad;
  }

  bool add_at(const moment& m) {
    stamp now{m, stamp::one};
    auto bad = is_race(written, now) || is_race(read, now);
    added = joined(added, m);
    return bad;
  }

private:
  static stamp joined(const stamp& before, const moment& m) {
    stamp now{m, stamp::one};
    if (!before.is_of_launch(now))
      return now;
    if (before.how() == stamp::some_of_grid || !before.is_of_block(now))
      return {m, stamp::some_of_grid};
    if (!before.is_of_phase(now))
      return now;
    if (before.how() == stamp::some_of_block || !before.is_of_warp(now))
      return {m, stamp::some_of_block};
    if (!before.is_of_warp_phase(now))
      return now;
    if (before.how() == stamp::some_of_warp || !before.is_of_thread(now))
      return {m, stamp::some_of_warp};
    return now;
  }
};

/// What is known of all bytes of the process.
class shadow {
public:
  touched& at(uintptr_t address) {
    auto page = address / page_bytes;
    auto& slot = recent_[page % recent_.size()];
    if (slot.page != page || !slot.bytes) {
      auto& found = pages_[page];
      if (!found)
        found = std::make_unique<page_record>();
      slot = {page, found.get()};
    }
    return (*slot.bytes)[address % page_bytes];
  }

  /// Forgets everything, so that memory does not grow for ever.
  void clear() {
    pages_.clear();
    recent_ = {};
  }

  size_t num_pages() const {
    return pages_.size();
  }

private:
  static constexpr uintptr_t page_bytes = 1024;
  using page_record = std::array<touched, page_bytes>;

  struct slot {
    uintptr_t page = 0;
    page_record* bytes = nullptr;
  };

  std::unordered_map<uintptr_t, std::unique_ptr<page_record>> pages_;
  std::array<slot, 64> recent_;
};

} // namespace troupe::kernels::on_host
