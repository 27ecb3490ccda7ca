#pragma once

/// Parts of a checkpoint on their way to a device. A part is read ahead when it
/// enters, one operation reads it, and then its pages go back to the system, so
/// that a file never lies in memory beside what was made of it. Several streams
/// let one part be read while others are packed.

#include "kernels/device.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

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

  /// Both outlive this.
  load_window(const checkpoint& source, kernels::device& dev,
              uint64_t limit = default_limit);

  /// Waits for room, then enqueues `op`, which reads `part` of the checkpoint
  /// and `copied` bytes that it keeps alive itself. What is larger than the
  /// limit goes alone.
  void submit(kernels::operation op, std::span<const std::byte> part,
              uint64_t copied = 0);

  /// Takes a part that has been read already.
  void leave(std::span<const std::byte> part);

  /// Waits for everything, and says how it fared.
  kernels::stream_status finish();

  /// Bytes that entered and have not been given back.
  uint64_t in_flight() const {
    return in_flight_;
  }

  /// The most that ever were.
  uint64_t most_in_flight() const {
    return most_in_flight_;
  }

private:
  struct passage {
    std::span<const std::byte> part;
    uint64_t bytes = 0; ///< With what was copied.
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

  void enter(uint64_t bytes);
  void take(const passage& x);
  void collect();
  void give_back();

  const checkpoint& source_;
  const uint64_t limit_;
  uint64_t in_flight_ = 0;
  uint64_t most_in_flight_ = 0;
  std::vector<std::span<const std::byte>> read_; ///< To be given back.
  uint64_t read_bytes_ = 0;
  arrivals arrivals_;
  size_t turn_ = 0;
  std::vector<std::unique_ptr<kernels::stream>> streams_;
};

} // namespace troupe
