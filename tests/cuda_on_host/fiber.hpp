#pragma once

/// A thread of a kernel: code with a stack of its own that runs until it lets
/// others go on.

#include <cstddef>
#include <cstdint>
#include <memory>

namespace troupe::kernels::on_host {

class fiber {
public:
  using body = void (*)(void* what);

  fiber();
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
  ~fiber();

  /// Makes resume() begin at the start of run(what), whatever was there.
  void start(body run, void* what);

  /// Runs it on until it pauses or ends.
  void resume();

  /// Called inside: goes back to who resumed.
  void pause();

  bool has_ended() const {
    return has_ended_;
  }

private:
  struct frames;

  [[noreturn]] static void enter();

  const std::unique_ptr<frames> frames_;
  body run_ = nullptr;
  void* what_ = nullptr;
  bool has_ended_ = true;
};

} // namespace troupe::kernels::on_host
