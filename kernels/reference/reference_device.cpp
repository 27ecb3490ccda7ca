#include "kernels/check.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/host/host_stream.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/values.hpp"

namespace troupe::kernels {

namespace {

class reference_stream : public host_stream {
public:
  explicit reference_stream(std::shared_ptr<thread_pool> pool)
    : host_stream(std::move(pool), [](const operation& op) {
        reference::run(op);
        return std::string{};
      }) {
  }

  void enqueue(operation op) override {
    check_shapes(op);
    host_stream::enqueue(std::move(op));
  }
};

/// All streams share one thread: the order of two operations of different
/// streams is never both at once.
class reference_device : public device {
public:
  explicit reference_device(uint32_t id) : id_(id), heap_(id) {
  }

  uint32_t id() const override {
    return id_;
  }

  std::string_view target() const override {
    return "reference";
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
    return reference::weight_bytes(type, rows, cols, groups);
  }

  std::unique_ptr<stream> make_stream() override {
    return std::make_unique<reference_stream>(pool_);
  }

private:
  const uint32_t id_;
  host::heap heap_;
  std::shared_ptr<thread_pool> pool_ = std::make_shared<thread_pool>(1);
};

} // namespace

std::unique_ptr<device> make_reference_device(uint32_t id) {
  return std::make_unique<reference_device>(id);
}

} // namespace troupe::kernels
