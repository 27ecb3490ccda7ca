// sample on a GPU.

#include "kernels/cuda/queue.hpp"
#include "kernels/cuda/sample_operations.hpp"

namespace troupe::kernels::cuda {

void run_sample(queue& q, const operation& op) {
  if (auto what = std::get_if<sample>(&op))
    return run(q, *what);
}

} // namespace troupe::kernels::cuda
