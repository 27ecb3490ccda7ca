// mla_attention, mha_attention on a GPU.

#include "kernels/cuda/attention_operations.hpp"
#include "kernels/cuda/queue.hpp"

namespace troupe::kernels::cuda {

void run_attention(queue& q, const operation& op) {
  run_if_any_of<mla_attention, mha_attention>(q, op);
}

} // namespace troupe::kernels::cuda
