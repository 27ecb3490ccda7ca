#include "tests/cuda_on_host/device.hpp"

#include "kernels/host/host_device.hpp"
#include "tests/cuda_on_host/queue.hpp"

namespace troupe::kernels::test {

namespace {

class cuda_on_host_executor : public executor {
public:
  std::string_view target() const override {
    return "cuda-on-host";
  }

  uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return cuda::packed_weight{type, rows, cols, groups}.bytes();
  }

  /// Blocks and threads run in another order each time: no result may depend
  /// on it.
  std::string run(const operation& op) override {
    auto orders = {on_host::order::ascending, on_host::order::descending,
                   on_host::order::shuffled};
    on_host::machine::here().set_order(orders.begin()[runs_ % 3], runs_);
    ++runs_;
    on_host::queue q;
    std::visit([&](auto& what) { cuda::run(q, what); }, op);
    if (q.fault().empty())
      return {};
    return std::string{name_of(op)} + ": " + q.fault();
  }

private:
  uint64_t runs_ = 0;
};

} // namespace

std::unique_ptr<device> make_cuda_on_host(uint32_t id) {
  auto make = [] { return std::make_unique<cuda_on_host_executor>(); };
  return make_host_device(id, make, std::make_shared<thread_pool>(1));
}

} // namespace troupe::kernels::test
