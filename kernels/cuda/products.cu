// linear, grouped_linear, router, expert_mlp on a GPU.

#include "kernels/cuda/product_operations.hpp"
#include "kernels/cuda/queue.hpp"

namespace troupe::kernels::cuda {

void run_products(queue& q, const operation& op) {
  run_if_any_of<linear, grouped_linear, router, expert_mlp>(q, op);
}

} // namespace troupe::kernels::cuda
