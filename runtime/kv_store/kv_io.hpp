#pragma once

/// The threads on which a store's files are read and written: reads before
/// writes, but for one write after so many reads, so that reads without end do
/// not keep writes waiting. At most all threads but one write at once. What is
/// to be erased is before both, and no write begins before it is. A disk that
/// hangs holds up nobody but these.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace troupe {

class kv_io {
public:
  using job = std::function<void()>;

  /// Jobs of a kind that may wait; more are refused.
  static constexpr size_t max_waiting = 4096;

  /// Begun one behind the other while a write waits.
  static constexpr uint32_t reads_to_a_write = 8;

  /// 0 threads: jobs are done when they are posted.
  explicit kv_io(uint32_t num_threads);

  /// Drops the reads that wait, erases and does the writes. Leaves threads that
  /// have not come back after a while to themselves: what a job uses has to be
  /// its own.
  virtual ~kv_io();

  kv_io(const kv_io&) = delete;
  kv_io& operator=(const kv_io&) = delete;

  uint32_t num_threads() const {
    return state_->num_threads;
  }

  /// False: too many wait. `dropped` is called if `what` never will be.
  virtual bool read(job what, job dropped = {});
  virtual bool write(job what, job dropped = {});

  /// Is never refused, and not dropped: there are no more of these than blocks.
  virtual void erase(job what);

  /// Of a disk that hangs: what waits is dropped, what a thread has in hand is
  /// not.
  virtual void drop_reads();
  virtual void drop_writes();

private:
  struct posted {
    job what;
    job dropped;
  };

  using queue = std::deque<posted>;

  struct state {
    std::mutex mutex;
    std::condition_variable changed;
    queue erasures;
    queue reads;
    queue writes;
    uint32_t num_threads = 0;
    uint32_t num_writing = 0; ///< Those that erase, too.
    uint32_t num_in_row = 0;  ///< Reads begun since the last write.
    uint32_t num_alive = 0;
    bool is_erasing = false;
    bool is_over = false;

    bool leaves_a_thread() const {
      return num_threads == 1 || num_writing + 1 < num_threads || is_over;
    }

    /// One behind the other.
    bool may_erase() const {
      return !erasures.empty() && !is_erasing && leaves_a_thread();
    }

    bool may_write() const {
      return !writes.empty() && erasures.empty() && !is_erasing
             && leaves_a_thread();
    }

    bool may_read() const {
      return !reads.empty() && (num_in_row < reads_to_a_write || !may_write());
    }

    /// What is to be done next; null: nothing at present.
    queue* next() {
      if (may_erase())
        return &erasures;
      if (may_read())
        return &reads;
      return may_write() ? &writes : nullptr;
    }
  };

  static void run(const std::shared_ptr<state>& of);
  bool post(queue& to, posted x);
  void drop(queue& from);

  std::shared_ptr<state> state_ = std::make_shared<state>();
};

} // namespace troupe
