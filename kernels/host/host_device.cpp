#include "kernels/host/host_device.hpp"

#include "kernels/host/host_memory.hpp"
#include "kernels/host/host_stream.hpp"
#include "kernels/host/inline_stream.hpp"

namespace troupe::kernels {

namespace {

/// Whatever its streams are.
class host_device : public device {
public:
  using stream_factory = std::function<std::unique_ptr<stream>()>;

  /// `how` is asked for what all streams have in common.
  host_device(uint32_t id, std::shared_ptr<const executor> how,
              stream_factory make)
    : id_(id), how_(std::move(how)), make_(std::move(make)), heap_(id) {
  }

  uint32_t id() const override {
    return id_;
  }

  std::string_view target() const override {
    return how_->target();
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
    return how_->weight_bytes(type, rows, cols, groups);
  }

  std::unique_ptr<stream> make_stream() override {
    return make_();
  }

private:
  const uint32_t id_;
  const std::shared_ptr<const executor> how_;
  const stream_factory make_;
  host::heap heap_;
};

/// A stream that owns its executor.
class pooled_stream : public host_stream {
public:
  pooled_stream(std::shared_ptr<executor> how,
                std::shared_ptr<thread_pool> pool)
    : host_stream(std::move(pool),
                  [how](const operation& op) { return how->run(op); }) {
  }

  void enqueue(operation op) override {
    check_shapes(op);
    host_stream::enqueue(std::move(op));
  }
};

} // namespace

std::unique_ptr<device> make_host_device(uint32_t id, executor_factory make,
                                         std::shared_ptr<thread_pool> pool) {
  auto make_stream = [make, pool] {
    return std::make_unique<pooled_stream>(make(), pool);
  };
  return std::make_unique<host_device>(id, make(), make_stream);
}

std::unique_ptr<device> make_inline_device(uint32_t id,
                                           std::shared_ptr<executor> how) {
  auto make_stream = [how] { return std::make_unique<inline_stream>(how); };
  return std::make_unique<host_device>(id, how, make_stream);
}

} // namespace troupe::kernels
