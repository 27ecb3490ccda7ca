#pragma once

/// Streams of devices that compute on the host: a stream is a strand over a
/// thread pool. At most one thread works for a strand at a time, it takes one
/// operation after the other without going back to the pool, and a strand that
/// waits for an event occupies no thread.
///
/// A stream that waits for an event of a poisoned stream is poisoned with the
/// same failure: its operations would read what was never computed.

#include "kernels/device.hpp"
#include "kernels/host/thread_pool.hpp"

namespace troupe::kernels {

class host_stream : public stream {
public:
  /// Operations, events and notices that may wait in one stream; more is a bug
  /// of the caller.
  static constexpr size_t max_queued = 1 << 20;

  /// Computes one operation on the calling thread (it may open parallel
  /// regions) and returns what went wrong; empty: nothing. It must not own the
  /// pool: the last thread that lets go of it may be the pool's.
  using run_fn = std::function<std::string(const operation&)>;

  host_stream(std::shared_ptr<thread_pool> pool, run_fn run);

  /// Waits for what was enqueued. Not to be called on a thread of the pool.
  ~host_stream() override;

  void enqueue(operation op) override;
  event record() override;
  void wait(const event& point) override;
  void notify(std::function<void(const stream_status&)> fn) override;

private:
  class strand;

  std::shared_ptr<thread_pool> pool_;
  std::shared_ptr<strand> strand_;
};

} // namespace troupe::kernels
