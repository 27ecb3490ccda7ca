#pragma once

/// The flags that those who start a company share: which model, how it is
/// spread, what is claimed. Names follow vLLM where it has one.

#include "deploy/expert_balance_flags.hpp"
#include "deploy/request_balance_flags.hpp"
#include "runtime/cluster/node_options.hpp"
#include "runtime/log.hpp"
#include "runtime/meeting/door.hpp"
#include "runtime/topology.hpp"
#include "runtime/transport/link_emulation.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// --cluster-tls-cert, -key and -ca, which every node is given.
void add_cluster_tls(CLI::App& command, tls_files& to);

/// --micro-batches, of those commands that start one company.
void add_micro_batches(CLI::App& command, std::optional<std::string>& to);

/// --kv-cache-dir, --kv-cache-disk-gb and --kv-cache-host-gb, of those commands
/// whose nodes are real.
struct kv_cache_flags {
  std::string dir; ///< Empty: nothing is kept on a disk.
  double disk_gb = 32;
  double host_gb = 0; ///< 0: nothing is kept in host memory.

  void add_to(CLI::App& command);

  /// Error: invalid_input, without the cache of which these keep blocks.
  result<void> check(const topology& cluster) const;

  /// Tells a node that this process starts.
  void apply(node_options& to) const;

  /// Their arguments for a node that is another process.
  std::vector<std::string> arguments() const;
};

/// What it says, as topology_limits::micro_batches has it. `text` is "auto" or
/// a number.
uint32_t num_micro_batches(const std::string& text);

/// For a shell: quoted where it has to be.
std::string in_quotes(const std::string& text);

struct cluster_flags {
  std::string model;
  uint32_t data_parallel_size = 1;
  uint32_t expert_parallel_size = 1;
  uint32_t num_nodes = 1;
  std::string topology_name; ///< A file, or a word: topology_shorthand.hpp.
  std::optional<std::string> prefill_unit;
  std::optional<std::string> decode_unit;
  std::optional<uint32_t> num_redundant_experts; ///< Of each unit.
  std::optional<uint32_t> spare_expert_slots;    ///< Of each worker.
  std::string secret_file;
  bool insecure = false;
  tls_files tls;
  bool allow_overcommit = false;
  std::string log_level_name = "warning";
  std::string log_format_name = "text";
  uint32_t num_threads = 0; ///< 0: one for each processor.
  std::optional<std::string> activations;
  std::optional<uint32_t> max_model_len;
  std::optional<uint32_t> max_num_seqs;
  std::optional<uint32_t> max_num_batched_tokens;
  std::optional<uint32_t> num_kv_blocks;
  std::optional<uint32_t> step_timeout_ms;
  uint32_t outage_timeout_ms = 60'000;
  /// "auto" or a number; by add_micro_batches().
  std::optional<std::string> micro_batches;
  std::optional<uint32_t> max_itl_ms;
  std::optional<std::string> prefix_caching; ///< "on" or "off".
  /// Of those commands whose nodes are real, by add_emulated_links().
  std::vector<link_emulation> links;
  /// Likewise, by add_device(); empty: cpu.
  std::string device;
  kv_cache_flags kv_cache; ///< Likewise, by its add_to().
  /// Likewise, by add_trace_file(); empty: none.
  std::string trace_file;
  expert_balance_flags balance; ///< Of `serve` and `simulate`.
  request_balance_flags moving; ///< Likewise.
  /// Of `serve`; empty: what has to be remembered is in memory.
  std::string state_dir;

  void add_to(CLI::App& command);

  /// What the flags and the topology file say together; flags win. Errors:
  /// invalid_input, io.
  result<topology> cluster() const;

  log_level level() const;

  /// Where this process' lines go: a new one with each call.
  std::shared_ptr<log_book> make_log() const;

  /// The model and what of the flags decides how the company behaves, as they
  /// would be typed again.
  std::string replayed() const;
};

} // namespace troupe
