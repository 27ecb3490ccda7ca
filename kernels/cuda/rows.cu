// copy_in, copy_out, pack_rows, gather_rows, pack_weight, embed, rms_norm,
// quantize, append_latent, rotate, swiglu, combine on a GPU.

#include "kernels/cuda/queue.hpp"
#include "kernels/cuda/row_operations.hpp"

namespace troupe::kernels::cuda {

void run_rows(queue& q, const operation& op) {
  if (auto what = std::get_if<copy_in>(&op))
    return run(q, *what);
  if (auto what = std::get_if<copy_out>(&op))
    return run(q, *what);
  if (auto what = std::get_if<pack_rows>(&op))
    return run(q, *what);
  if (auto what = std::get_if<gather_rows>(&op))
    return run(q, *what);
  if (auto what = std::get_if<pack_weight>(&op))
    return run(q, *what);
  if (auto what = std::get_if<embed>(&op))
    return run(q, *what);
  if (auto what = std::get_if<rms_norm>(&op))
    return run(q, *what);
  if (auto what = std::get_if<quantize>(&op))
    return run(q, *what);
  if (auto what = std::get_if<append_latent>(&op))
    return run(q, *what);
  if (auto what = std::get_if<rotate>(&op))
    return run(q, *what);
  if (auto what = std::get_if<swiglu>(&op))
    return run(q, *what);
  if (auto what = std::get_if<combine>(&op))
    return run(q, *what);
}

} // namespace troupe::kernels::cuda
