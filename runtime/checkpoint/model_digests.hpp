#pragma once

/// Digests of all tensors of a model directory.

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/digest.hpp"

#include <functional>
#include <stop_token>

namespace troupe {

namespace kernels {
class thread_pool;
} // namespace kernels

/// Adds to `known` every tensor of `source` that it lacks, each read once and
/// in the order of the files, on this thread and on idle ones of `pool`.
/// `progress` hears of bytes, first of none; not at all if nothing is lacking.
/// Errors: io; cancelled, once `stop` says so.
result<digest_table> digest_model(
  const checkpoint& source, digest_table known, kernels::thread_pool& pool,
  const std::function<void(uint64_t done, uint64_t total)>& progress = {},
  const std::stop_token& stop = {});

} // namespace troupe
