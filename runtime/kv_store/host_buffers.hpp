#pragma once

/// Host memory for blocks on their way between device and disk: claimed once,
/// handed out and given back from any thread.

#include "kernels/device.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe {

class host_buffers {
public:
  /// Null if there is too little memory.
  static std::shared_ptr<host_buffers> make(kernels::device& dev,
                                            uint32_t count, uint64_t bytes);

  /// How many of `bytes` make a good number.
  static uint32_t good_count(uint64_t bytes);

  /// One of them, given back when nobody holds it; null if all are out.
  kernels::host_ptr take();

  /// Is called on whatever thread gives one back after take() had none. Empty:
  /// nobody any more.
  void set_on_free(std::function<void()> fn);

private:
  host_buffers() = default;
  void give_back(kernels::host_ptr x);

  std::mutex mutex_;
  std::vector<kernels::host_ptr> free_;
  std::function<void()> on_free_;
  bool is_wanted_ = false;
  std::weak_ptr<host_buffers> self_;
};

} // namespace troupe
