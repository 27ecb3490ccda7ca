#include "kernels/host/host_device.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/values.hpp"

namespace troupe::kernels {

namespace {

class reference_executor : public executor {
public:
  std::string_view target() const override {
    return "reference";
  }

  uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return reference::weight_bytes(type, rows, cols, groups);
  }

  std::string run(const operation& op) override {
    reference::run(op);
    return {};
  }
};

} // namespace

std::unique_ptr<executor> make_reference_executor() {
  return std::make_unique<reference_executor>();
}

/// All streams share one thread: the order of two operations of different
/// streams is never both at once.
std::unique_ptr<device> make_reference_device(uint32_t id) {
  return make_host_device(id, make_reference_executor,
                          std::make_shared<thread_pool>(1));
}

} // namespace troupe::kernels
