// copy_in, copy_out, pack_rows, gather_rows, pack_weight, embed, rms_norm,
// quantize, append_latent, rotate, swiglu, combine on a GPU.

#include "kernels/cuda/queue.hpp"
#include "kernels/cuda/row_operations.hpp"

namespace troupe::kernels::cuda {

void run_rows(queue& q, const operation& op) {
  run_if_any_of<copy_in, copy_out, pack_rows, gather_rows, pack_weight, embed,
                rms_norm, quantize, append_latent, rotate, swiglu, combine>(q,
                                                                            op);
}

} // namespace troupe::kernels::cuda
