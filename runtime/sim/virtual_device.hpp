#pragma once

/// A device in virtual time. An operation begins when its stream is free, takes
/// what a cost_model says of it, times the slowness of its node, and is
/// computed at its end; until then what it is going to write is poison. Streams
/// do not slow each other down. Notices are events of the life: those of a
/// process that is stopped wait, those of a dead one never come.
///
/// A stream that is destroyed has to be done with all when that returns, and
/// nobody can wait for virtual time: what is left is computed at once, as far
/// as it waits for no other stream; what waits is dropped, and whoever waits
/// for it learns that it failed. Its notices never come. Of a life that is over
/// everything is dropped.

#include "kernels/device.hpp"
#include "kernels/host/host_memory.hpp"
#include "runtime/cost/cost_model.hpp"
#include "runtime/sim/world.hpp"

#include <set>

namespace troupe {

/// How long `op` takes, to the nanosecond.
virtual_duration duration_of(const kernels::operation& op,
                             const cost_model& costs);

class virtual_device final : public kernels::device {
public:
  /// `compute` runs on the world's thread; null: nothing is computed, see
  /// imagine(), and packed weights take no memory to speak of.
  virtual_device(world& w, life_id life, uint32_t id,
                 std::shared_ptr<kernels::executor> compute,
                 const cost_model& costs);

  uint32_t id() const override {
    return id_;
  }

  std::string_view target() const override;
  std::optional<kernels::buffer> allocate(uint64_t bytes) override;
  void free(kernels::buffer mem) override;
  kernels::host_ptr allocate_host(uint64_t bytes) override;
  uint64_t weight_bytes(kernels::dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override;
  std::unique_ptr<kernels::stream> make_stream() override;

  /// Is shown each operation that writes to a cache, before it is computed.
  using cache_observer = std::function<void(const kernels::append_latent&)>;

  void observe_cache(cache_observer x);

  // -- faults -----------------------------------------------------------------

  /// The n-th operation that begins here fails, counted from 1.
  void fail_operation(uint64_t n);

  /// The n-th claim of memory, the host's included, finds none.
  void fail_allocation(uint64_t n);

  /// What has not failed by now does not any more.
  void fail_nothing();

  uint64_t num_operations() const;
  uint64_t num_allocations() const;

  /// Whether that one has failed, for a fault.
  bool has_failed_operation(uint64_t n) const;
  bool has_failed_allocation(uint64_t n) const;

private:
  struct core;
  class strand;
  class virtual_stream;
  class virtual_event;

  bool may_allocate(uint64_t bytes);

  const uint32_t id_;
  const std::shared_ptr<core> core_; ///< Streams may outlive us.
  kernels::host::heap heap_;
};

} // namespace troupe
