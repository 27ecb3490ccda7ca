#pragma once

/// What keeping blocks in host memory or on a disk takes.

#include "runtime/cluster/node_options.hpp"
#include "runtime/error.hpp"
#include "runtime/kv_store/host_buffers.hpp"
#include "runtime/kv_store/kv_files.hpp"
#include "runtime/kv_store/kv_memory.hpp"

#include <memory>

namespace troupe {

struct keeper_parts {
  kv_files_options files;                ///< No directory: there is no disk.
  std::shared_ptr<host_buffers> writing; ///< On the way to it.
  std::shared_ptr<host_buffers> reading; ///< On the way back.
  std::unique_ptr<kv_memory> memory;     ///< Null: nothing stays there.
  uint32_t max_reads = 0;                ///< That the disk has at once.
  uint32_t max_writes = 0; ///< Likewise; of memory, it holds an eighth.

  /// Null: nothing is kept. Error: out_of_memory.
  static result<std::unique_ptr<keeper_parts>>
  make(kernels::device& dev, const node_options& options, uint64_t block_bytes);

  /// Of host memory, what make() claims.
  static uint64_t num_bytes(const node_options& options, uint64_t block_bytes);
};

} // namespace troupe
