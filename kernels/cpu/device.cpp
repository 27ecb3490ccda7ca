// Memory, streams and the choice of the loops.

#include "kernels/device.hpp"

#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/packing.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/host/host_stream.hpp"

namespace troupe::kernels {

namespace {

class cpu_stream : public host_stream {
public:
  cpu_stream(const cpu::kernel_set& kernels, std::shared_ptr<thread_pool> pool)
    : host_stream(pool, make_run(kernels, *pool)) {
  }

  void enqueue(operation op) override {
    check_shapes(op);
    host_stream::enqueue(std::move(op));
  }

private:
  static run_fn make_run(const cpu::kernel_set& kernels, thread_pool& pool) {
    auto ctx = std::make_shared<cpu::context>();
    ctx->kernels = kernels;
    ctx->pool = &pool;
    return [ctx](const operation& op) {
      std::visit([&](auto& what) { cpu::run(*ctx, what); }, op);
      ctx->memory.reset();
      return std::string();
    };
  }
};

class cpu_device : public device {
public:
  explicit cpu_device(const cpu_options& options)
    : id_(options.id), kernels_(cpu::make_kernel_set(options.target)),
      target_("cpu/" + std::string(kernels_.name)),
      pool_(options.pool ? options.pool
                         : std::make_shared<thread_pool>(options.num_threads)),
      heap_(options.id) {
  }

  uint32_t id() const override {
    return id_;
  }

  std::string_view target() const override {
    return target_;
  }

  std::optional<buffer> allocate(uint64_t bytes) override {
    return heap_.allocate(bytes);
  }

  void free(buffer mem) override {
    heap_.free(mem);
  }

  host_ptr allocate_host(uint64_t bytes) override {
    return host::allocate_host(bytes);
  }

  uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return groups * cpu::packed_shape(type, rows, cols).matrix_bytes();
  }

  std::unique_ptr<stream> make_stream() override {
    return std::make_unique<cpu_stream>(kernels_, pool_);
  }

private:
  const uint32_t id_;
  const cpu::kernel_set kernels_;
  const std::string target_;
  std::shared_ptr<thread_pool> pool_;
  host::heap heap_;
};

} // namespace

std::unique_ptr<device> make_cpu_device(const cpu_options& options) {
  return std::make_unique<cpu_device>(options);
}

} // namespace troupe::kernels
