#pragma once

/// A plain description of a cluster: which nodes there are, who is gateway and
/// controller, which ranks and workers live where, and which of them serve
/// together. Read from TOML, or made for one machine. Ranks and workers are
/// numbered through the whole cluster, in the order of the nodes.

#include "runtime/checkpoint/config.hpp"
#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// One process.
struct topology_node {
  std::string name;               ///< [a-z0-9_-], unique.
  std::string host = "127.0.0.1"; ///< Numeric; where others reach it.
  bool gateway = false;           ///< Accepts requests.
  bool controller = false;        ///< Holds the view; the first node only.
  bool later = false; ///< The cluster starts without it; it may come then.
  std::vector<uint32_t> ranks;   ///< Attention ranks with their schedulers.
  std::vector<uint32_t> workers; ///< Expert workers.
  /// A place for whoever brings these ranks and workers, under any name; later.
  bool open = false;

  friend bool operator==(const topology_node&, const topology_node&) = default;
};

/// What a unit does for a request.
enum class unit_role : uint8_t {
  both,
  prefill,
  decode,
};

/// "prefill", "decode" or "both".
const char* to_string(unit_role role);

/// Ranks and workers that serve together; a node may hold parts of several.
struct topology_unit {
  std::string name = "main"; ///< [a-z0-9_-], unique.
  unit_role role = unit_role::both;
  std::vector<uint32_t> ranks;
  std::vector<uint32_t> workers; ///< Of its ranks alone.
  /// Slots of a layer beyond one for each expert: they hold further replicas.
  uint32_t num_redundant_experts = 0;
  /// Slots of each worker and layer that hold nobody at first: for experts that
  /// come while others still serve, or whose holders were lost.
  uint32_t spare_expert_slots = 0;

  friend bool operator==(const topology_unit&, const topology_unit&) = default;
};

/// What is claimed at start and never exceeded, for each rank; and how long it
/// waits.
struct topology_limits {
  uint32_t max_num_seqs = 64;            ///< Sequences in a step.
  uint32_t max_num_batched_tokens = 512; ///< Rows in all steps that are out.
  uint32_t max_num_waiting = 1024;       ///< Requests accepted, not yet run.
  uint32_t num_kv_blocks = 0; ///< Of 64 tokens; 0: see num_kv_blocks().
  /// Rows between nodes are cut into frames of at most so many bytes.
  uint32_t max_frame_bytes = 4u << 20;
  /// For rows of a layer that other nodes have to give back. What the own node
  /// computes takes as long as it takes.
  uint32_t step_timeout_ms = 300'000;
  /// Steps that are out at once, each of up to max_num_seqs sequences; 0: one,
  /// or two micro-batches of what would be one, whichever is faster.
  uint32_t micro_batches = 0;
  /// A prompt's rows may make the steps of those who decode no longer than
  /// about this; 0: as long as they take.
  uint32_t max_itl_ms = 0;
  /// Full blocks of the cache stay until their memory is wanted, and requests
  /// that begin as others did do not compute them again.
  bool prefix_caching = true;
  /// Running requests may go to other ranks of their unit with their blocks.
  bool moving_requests = false;

  /// Steps that may be out at once.
  uint32_t num_lanes() const {
    return micro_batches > 0 ? micro_batches : 2;
  }

  /// Sequences that may run at once.
  uint32_t max_num_running() const {
    return micro_batches > 0 ? micro_batches * max_num_seqs : max_num_seqs;
  }

  friend bool operator==(const topology_limits&, const topology_limits&)
    = default;
};

struct topology {
  std::string cluster = "troupe"; ///< Frames of another name are refused.
  std::string model; ///< Directory of the checkpoint; empty: from outside.
  std::string secret_file;                     ///< Empty: none, loopback only.
  endpoint_address controller{"127.0.0.1", 0}; ///< port 0: any free one.
  precision activations = precision::fp8;
  uint32_t max_model_len = 4096; ///< Prompt and answer together.
  topology_limits limits;
  std::vector<topology_node> nodes; ///< Index is the node_id.
  /// None: one, of all ranks and workers; see all_units().
  std::vector<topology_unit> units;

  /// The units, also the one that nobody has named. Index is the unit_id.
  std::vector<topology_unit> all_units() const;

  /// The unit that a rank or a worker belongs to: by rank, by worker.
  std::vector<uint16_t> units_of_ranks() const;
  std::vector<uint16_t> units_of_workers() const;

  uint32_t num_ranks() const;
  uint32_t num_workers() const;

  /// Those without which the cluster starts.
  std::set<node_id> later_nodes() const;

  /// Cache blocks of a rank: those that limits names, or by the rule: 1,024
  /// tokens (max_model_len, if that is less) for each sequence that may run at
  /// once, and no less than max_model_len for one.
  uint32_t num_kv_blocks() const;

  /// Returns the node with this name.
  std::optional<node_id> find(std::string_view name) const;
  /// Returns where a rank lives. rank < num_ranks().
  node_id node_of_rank(uint32_t rank) const;
  /// Returns where a worker lives. worker < num_workers().
  node_id node_of_worker(uint32_t worker) const;
};

/// Reads TOML. `source_name` stands in front of every complaint. Unknown keys
/// are refused. Error: invalid_input with one sentence that names the key.
result<topology> parse_topology(std::string_view text,
                                std::string_view source_name);

/// Reads a file; relative paths in it are meant from its folder. Errors:
/// not_found, io, invalid_input.
result<topology> read_topology(const std::filesystem::path& path);

/// Everything in one process. dp, ep >= 1.
topology single_process(uint32_t dp, uint32_t ep);

/// Processes on one machine: node 0 is gateway and controller, then come the
/// nodes with ranks, then those with workers. With two nodes one holds all
/// ranks and workers; with three, one the ranks and one the workers; with
/// more, a rank node for every two worker nodes. num_nodes >= 1; nodes that
/// would have nothing to do are left out.
topology local(uint32_t num_nodes, uint32_t dp, uint32_t ep);

/// What every topology must fulfil, one clear sentence otherwise.
result<void> validate(const topology& x);

/// Writes TOML that parse_topology reads back to the same.
std::string render(const topology& x);

/// Reads "HOST:PORT", "[V6]:PORT"; the host must be numeric or "localhost".
/// Error: invalid_input.
result<endpoint_address> parse_endpoint(std::string_view text);

} // namespace troupe
