// Threads, and the choice of the loops.

#include "kernels/device.hpp"

#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/packing.hpp"
#include "kernels/host/host_device.hpp"

namespace troupe::kernels {

namespace {

class cpu_executor : public executor {
public:
  /// `pool` outlives this.
  cpu_executor(const cpu::kernel_set& kernels, thread_pool& pool)
    : target_("cpu/" + std::string(kernels.name)) {
    context_.kernels = kernels;
    context_.pool = &pool;
  }

  std::string_view target() const override {
    return target_;
  }

  uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return groups * cpu::packed_shape(type, rows, cols).matrix_bytes();
  }

  std::string run(const operation& op) override {
    std::visit([&](auto& what) { cpu::run(context_, what); }, op);
    context_.memory.reset();
    return {};
  }

private:
  const std::string target_;
  cpu::context context_;
};

/// What is asked for no pool computes alone.
thread_pool& nobody() {
  static thread_pool none{0};
  return none;
}

} // namespace

std::unique_ptr<executor> make_cpu_executor(const cpu_options& options) {
  return std::make_unique<cpu_executor>(cpu::make_kernel_set(options.target),
                                        options.pool ? *options.pool
                                                     : nobody());
}

std::unique_ptr<device> make_cpu_device(const cpu_options& options) {
  auto pool = options.pool ? options.pool
                           : std::make_shared<thread_pool>(options.num_threads);
  auto make = [kernels = cpu::make_kernel_set(options.target),
               raw = pool.get()] {
    return std::make_unique<cpu_executor>(kernels, *raw);
  };
  return make_host_device(options.id, make, std::move(pool));
}

} // namespace troupe::kernels
