// linear, grouped_linear, router, expert_mlp on a GPU.

#include "kernels/cuda/product_operations.hpp"
#include "kernels/cuda/queue.hpp"

namespace troupe::kernels::cuda {

void run_products(queue& q, const operation& op) {
  if (auto what = std::get_if<linear>(&op))
    return run(q, *what);
  if (auto what = std::get_if<grouped_linear>(&op))
    return run(q, *what);
  if (auto what = std::get_if<router>(&op))
    return run(q, *what);
  if (auto what = std::get_if<expert_mlp>(&op))
    return run(q, *what);
}

} // namespace troupe::kernels::cuda
