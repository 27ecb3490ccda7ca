#include "runtime/cluster/keeper_parts.hpp"

#include "runtime/kv_store/kv_io.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Of host memory, what may wait there for the disk.
constexpr uint64_t share_that_waits = 8;

failure no_memory(const std::string& what) {
  return {errc::out_of_memory, "no host memory for blocks " + what};
}

} // namespace

result<std::unique_ptr<keeper_parts>>
keeper_parts::make(kernels::device& dev, const node_options& options,
                   uint64_t block_bytes) {
  auto has_disk = !options.kv_cache_dir.empty();
  if (!has_disk && options.kv_host_bytes == 0)
    return std::unique_ptr<keeper_parts>{};
  auto out = std::make_unique<keeper_parts>();
  out->files.dir = options.kv_cache_dir;
  out->files.max_bytes = options.kv_cache_bytes;
  out->files.block_bytes = block_bytes;
  auto count = has_disk ? host_buffers::good_count(block_bytes) : 0;
  out->writing = host_buffers::make(dev, count, block_bytes);
  out->reading = host_buffers::make(dev, count, block_bytes);
  if (!out->writing || !out->reading)
    return no_memory("on their way to the disk");
  out->max_reads = count;
  auto in_memory = options.kv_host_bytes / block_bytes / share_that_waits;
  out->max_writes = static_cast<uint32_t>(
    std::min<uint64_t>(count + in_memory, kv_io::max_waiting));
  if (options.kv_host_bytes == 0)
    return out;
  out->memory = kv_memory::make(dev, options.kv_host_bytes, block_bytes);
  if (!out->memory)
    return no_memory("that are kept there");
  return out;
}

uint64_t keeper_parts::num_bytes(const node_options& options,
                                 uint64_t block_bytes) {
  uint64_t out = 0;
  if (!options.kv_cache_dir.empty())
    out += 2 * host_buffers::good_count(block_bytes) * block_bytes
           + kv_index::num_bytes(
             kv_files::num_slots_of(options.kv_cache_bytes, block_bytes));
  if (options.kv_host_bytes > 0)
    out += kv_memory::num_bytes(options.kv_host_bytes, block_bytes);
  return out;
}

} // namespace troupe
