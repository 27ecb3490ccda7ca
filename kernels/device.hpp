#pragma once

/// Devices, streams and notices. An actor never blocks on arithmetic: it
/// enqueues operations on a stream and asks to be told when the stream has
/// come to a point.
///
/// - Operations of one stream run in the order in which they were enqueued;
///   streams of one device run beside each other, ordered by events alone.
/// - Nothing here blocks and nothing here reads device memory.
/// - An operation that fails poisons its stream: later operations are skipped
///   and every later notice carries the first failure. Wrong shapes are bugs
///   and CHECKed when the operation is enqueued.
/// - All functions may be called from any thread, but one stream is to be fed
///   by one thread at a time.

#include "kernels/ops.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::kernels {

/// How a stream fared up to a notice. Empty: well.
struct stream_status {
  std::string failure; ///< One sentence that names the operation.

  explicit operator bool() const {
    return failure.empty();
  }
};

/// A point in a stream that others can wait for. Copyable; empty by default.
class event {
public:
  /// What a kind of device keeps behind its events.
  struct state {
    virtual ~state() = default;
  };

  event() = default;
  explicit event(std::shared_ptr<state> impl) : impl_(std::move(impl)) {
  }

  const std::shared_ptr<state>& impl() const {
    return impl_;
  }

private:
  std::shared_ptr<state> impl_;
};

/// An ordered queue of operations. Destroying it waits for what was enqueued.
class stream {
public:
  virtual ~stream() = default;

  /// Appends `op`. Buffers, and host memory that `op` names, have to live
  /// until a later notice of this stream.
  virtual void enqueue(operation op) = 0;

  /// Returns the point after everything enqueued so far.
  virtual event record() = 0;

  /// Makes what is enqueued from now on wait for `point`, on any stream of the
  /// same device.
  virtual void wait(const event& point) = 0;

  /// Calls `fn` once everything enqueued so far has ended. It runs on a thread
  /// of the device: it must be short, must not block and must not throw.
  virtual void notify(std::function<void(const stream_status&)> fn) = 0;
};

/// Computes operations, each at once and on the calling thread: what streams
/// are made of, for those who bring their own order and time. One thread at a
/// time.
class executor {
public:
  virtual ~executor() = default;

  /// See device::target.
  virtual std::string_view target() const = 0;

  /// See device::weight_bytes.
  virtual uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                                uint32_t groups) const = 0;

  /// Computes `op`, whose shapes fit, and returns what went wrong, in one
  /// sentence; empty: nothing.
  virtual std::string run(const operation& op) = 0;
};

/// Host memory that copies may name: 64-byte aligned, page-locked where the
/// device gains by it.
class host_memory {
public:
  virtual ~host_memory() = default;
  virtual std::byte* data() = 0;
  virtual uint64_t size() const = 0;
};

using host_ptr = std::shared_ptr<host_memory>;

class device {
public:
  virtual ~device() = default;

  /// Identity within the process; stands in every buffer.
  virtual uint32_t id() const = 0;

  /// Returns what runs here, e.g. "reference" or "cpu/avx512-bf16". Two
  /// devices with the same target give the same bits; part of the numerics
  /// fingerprint.
  virtual std::string_view target() const = 0;

  /// Claims zeroed memory; nothing if there is too little.
  virtual std::optional<buffer> allocate(uint64_t bytes) = 0;
  virtual void free(buffer mem) = 0;

  /// Claims host memory for copies; null if there is too little.
  virtual host_ptr allocate_host(uint64_t bytes) = 0;

  /// Returns the bytes that the packed form of a weight takes here.
  virtual uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                                uint32_t groups) const = 0;

  virtual std::unique_ptr<stream> make_stream() = 0;
};

/// Returns a device whose operations are plain loops: the definition.
std::unique_ptr<device> make_reference_device(uint32_t id);

/// Returns what that device computes with.
std::unique_ptr<executor> make_reference_executor();

class thread_pool;

struct cpu_options {
  uint32_t id = 0;
  uint32_t num_threads = 1; ///< Of the pool that all streams share.
  /// Shared with others of the process; null: one of its own.
  std::shared_ptr<thread_pool> pool = nullptr;
  /// Instruction set to use at most: "best", "avx512-bf16", "avx512", "avx2",
  /// "portable".
  std::string target = "best";
};

/// Returns a device of vectorised code on a pool of threads of its own.
std::unique_ptr<device> make_cpu_device(const cpu_options& options);

/// Returns what that device computes with: on the calling thread, and on those
/// of options.pool, which outlives it, if there is one.
std::unique_ptr<executor> make_cpu_executor(const cpu_options& options);

/// Returns a device of the host that has no thread: whatever is enqueued has
/// been computed by `how` when the call returns, and notices come inside of
/// notify(). For loading and tests on one thread.
std::unique_ptr<device> make_inline_device(uint32_t id,
                                           std::shared_ptr<executor> how);

/// Waits until `s` has ended everything enqueued so far and returns how it
/// fared. For tests, tools and loading: no actor calls it.
stream_status synchronize(stream& s);

} // namespace troupe::kernels
