#pragma once

/// What the one who starts a node may choose for it.

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

namespace troupe {

struct balance_settings; // runtime/cluster/balance_settings.hpp
struct request_settings; // runtime/cluster/request_settings.hpp
struct model_config;
class shared_model;
class span_recorder;

namespace kernels {
class device;
class thread_pool;
} // namespace kernels

/// Called while loading: what is being loaded, bytes done, bytes in all.
using node_progress
  = std::function<void(const std::string& what, uint64_t done, uint64_t total)>;

/// More threads than processors only get into each other's way.
constexpr uint32_t max_threads = 1024;

struct node_options {
  uint32_t num_threads = 2; ///< Of the pool; from 1 to max_threads.
  /// Shared by devices and actors of a process; null: the device has its own.
  std::shared_ptr<kernels::thread_pool> pool;
  std::string target = "best"; ///< See kernels::cpu_options; or "reference".
  /// Start even if the memory that is claimed is not there.
  bool allow_overcommit = false;
  std::string model_dir;    ///< Wins over what the controller says.
  std::string cache_dir;    ///< For digests of models; empty: nothing is kept.
  std::string kv_cache_dir; ///< Blocks are kept there; empty: nowhere.
  uint64_t kv_cache_bytes = 0; ///< At most so much of them.
  uint64_t kv_host_bytes = 0;  ///< Kept in host memory; 0: none are.
  std::stop_token stop;        ///< Ends loading, which then says cancelled.
  /// What the model's config.json said, if it was read; null: not yet.
  std::shared_ptr<const model_config> config;
  /// What the node computes on; null: a device of its own, of `target`.
  std::shared_ptr<kernels::device> device;
  /// What the node's weights are taken from, where nodes of one process share
  /// them; null: it opens the model itself.
  std::shared_ptr<shared_model> model;
  /// Hears what happens when; null: nobody does.
  std::shared_ptr<span_recorder> spans;
  /// Of the first node: experts are moved while it serves. Null: they are not.
  std::shared_ptr<const balance_settings> balance;
  /// Likewise requests, to other ranks.
  std::shared_ptr<const request_settings> moving;
};

} // namespace troupe
