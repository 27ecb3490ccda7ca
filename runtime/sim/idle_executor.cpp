#include "runtime/sim/idle_executor.hpp"

#include "runtime/sim/virtual_results.hpp"

namespace troupe {

namespace {

class idle_executor : public kernels::executor {
public:
  std::string_view target() const override {
    return "virtual/idle";
  }

  uint64_t weight_bytes(kernels::dtype, uint32_t, uint32_t,
                        uint32_t) const override {
    return 64;
  }

  std::string run(const kernels::operation& op) override {
    imagine(op, 0);
    return {};
  }
};

} // namespace

std::unique_ptr<kernels::executor> make_idle_executor() {
  return std::make_unique<idle_executor>();
}

} // namespace troupe
