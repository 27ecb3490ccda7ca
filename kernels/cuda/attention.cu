// mla_attention, mha_attention on a GPU.

#include "kernels/cuda/attention_operations.hpp"
#include "kernels/cuda/queue.hpp"

namespace troupe::kernels::cuda {

void run_attention(queue& q, const operation& op) {
  if (auto what = std::get_if<mla_attention>(&op))
    return run(q, *what);
  if (auto what = std::get_if<mha_attention>(&op))
    return run(q, *what);
}

} // namespace troupe::kernels::cuda
