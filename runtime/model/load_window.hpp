#pragma once

/// Parts of a checkpoint on their way to a device. A part is read into memory
/// of the window, one operation reads it from there, and then the memory is
/// there for another: so a file never lies in memory beside what was made of
/// it. Several streams let one part be waited for while others are packed.

#include "kernels/device.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace troupe {

class load_window {
public:
  /// Bytes that may lie in memory beside what is made of them.
  static constexpr uint64_t default_limit = 32 << 20;

  /// Aim for the size of a part.
  static constexpr uint64_t part_bytes = 4 << 20;

  struct chunk;

  /// Bytes of a file, as long as they are on their way.
  struct part {
    std::span<std::byte> bytes;
    chunk* home = nullptr;

    explicit operator bool() const {
      return home != nullptr;
    }
  };

  /// `dev` outlives this.
  explicit load_window(kernels::device& dev, uint64_t limit = default_limit);
  ~load_window();

  /// Waits for room and returns memory for `num_bytes`, to be filled and then
  /// submitted or given back; empty if the device has none. What is larger
  /// than the limit goes with nothing else but parts that are not submitted
  /// yet: nobody waits for those.
  part claim(uint64_t num_bytes);

  /// Enqueues `op`, which reads `x`.
  void submit(kernels::operation op, const part& x);

  /// Waits for room, then enqueues `op`, which reads `num_bytes` that it keeps
  /// alive itself.
  void submit(kernels::operation op, uint64_t num_bytes);

  /// Takes back a part that no operation is to read.
  void give_back(const part& x);

  /// Waits for everything, and says how it fared.
  kernels::stream_status finish();

  /// Bytes that were claimed and have not been used up.
  uint64_t in_flight() const {
    return in_flight_;
  }

  /// The most that ever were.
  uint64_t most_in_flight() const {
    return most_in_flight_;
  }

private:
  /// What an operation has read: a part, or bytes that it had itself.
  struct passage {
    chunk* home = nullptr;
    uint64_t num_bytes = 0;
  };

  /// Written by notices.
  struct arrivals {
    std::mutex mutex;
    std::condition_variable came;
    std::vector<passage> passed;
    uint64_t bytes = 0;            ///< Of `passed`.
    uint64_t wanted = 0;           ///< What is waited for.
    kernels::stream_status status; ///< The first that is not well.
  };

  void enter(uint64_t num_bytes);
  void enqueue(kernels::operation op, passage x);
  void leave(const passage& x);
  void collect();
  bool open_chunk(uint64_t num_bytes);

  kernels::device& dev_;
  const uint64_t limit_;
  uint64_t in_flight_ = 0;
  uint64_t submitted_ = 0; ///< Of in_flight_: what a stream will give back.
  uint64_t most_in_flight_ = 0;
  std::vector<std::unique_ptr<chunk>> chunks_;
  std::vector<chunk*> free_; ///< Of them; the last is warm.
  chunk* open_ = nullptr;    ///< Where the next part goes.
  arrivals arrivals_;
  size_t turn_ = 0;
  std::vector<std::unique_ptr<kernels::stream>> streams_; ///< Go first.
};

} // namespace troupe
