// sample on a GPU.

#include "kernels/cuda/queue.hpp"
#include "kernels/cuda/sample_operations.hpp"

namespace troupe::kernels::cuda {

void run_sample(queue& q, const operation& op) {
  run_if_any_of<sample>(q, op);
}

} // namespace troupe::kernels::cuda
