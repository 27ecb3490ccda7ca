#pragma once

/// What one node is made of, below the actors: device, streams, weights,
/// caches. Claimed at start; the actors of the node share it.

#include "kernels/device.hpp"
#include "runtime/batching/prefix_cache.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/cluster/keeper_parts.hpp"
#include "runtime/cluster/memory_room.hpp"
#include "runtime/cluster/node_options.hpp"
#include "runtime/cluster/numerics.hpp"
#include "runtime/cluster/part_counts.hpp"
#include "runtime/cluster/shared_model.hpp"
#include "runtime/cluster/traffic_limits.hpp"
#include "runtime/dispatch/expert_slots.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/dispatch/slab_pool.hpp"
#include "runtime/kv_store/host_buffers.hpp"
#include "runtime/model/forward.hpp"
#include "runtime/model/kv_pool.hpp"
#include "runtime/model/weights.hpp"
#include "runtime/pipeline/stage_timer.hpp"
#include "runtime/topology.hpp"

#include <map>
#include <memory>
#include <vector>

namespace troupe {

/// One attention rank. The streams go first: they wait for what they were
/// given, which may use anything else.
struct rank_parts {
  rank_id id = 0;
  unit_id unit = 0;
  std::unique_ptr<kv_pool> pool;
  std::unique_ptr<prefix_cache> cache; ///< Its scheduler's; gives out `pool`.
  std::vector<std::unique_ptr<attention_stages>> lanes; ///< On `stream`.
  std::vector<stage_timer> timers; ///< By lane; told by `stream`.
  std::unique_ptr<kernels::stream> stream;
  /// For rows that leave and land while another lane computes; null if there
  /// is one lane.
  std::unique_ptr<kernels::stream> copies;
  /// For blocks on their way to the keeper and back; null: none are. The
  /// keeper's.
  std::unique_ptr<kernels::stream> transfers;
  /// For blocks that go with requests from rank to rank; null: none do. Its
  /// scheduler's.
  std::unique_ptr<kernels::stream> handing;
  std::shared_ptr<host_buffers> leaving; ///< For blocks that do, or null.
  rank_counts counts;                    ///< Its scheduler's.
  expert_counts chosen;                  ///< Its attention's.
};

/// Blocks of a rank that may be on their way to another one at once.
constexpr uint32_t num_leaving_blocks = 8;

/// One expert worker.
struct worker_parts {
  worker_id id = 0;
  std::shared_ptr<const expert_shard> shard; ///< What it began with.
  expert_slots slots;
  /// Of those that have come since, by layer and slot.
  std::map<std::pair<uint16_t, uint16_t>, std::shared_ptr<const expert_shard>>
    guests;
  kernels::buffer staging; ///< [max_staging_rows, row_bytes] rows in
  uint32_t max_staging_rows = 0;
  uint32_t max_runs = 0; ///< (row, expert) pairs in one grouped run
  std::unique_ptr<expert_stages> stages;
  run_timer timer; ///< Told by `stream`.
  std::unique_ptr<kernels::stream> stream;
  worker_counts counts;
};

struct node_parts {
  topology cluster;
  node_id node = 0;
  model_config config;
  shared_model::token_facts tokens;
  /// [unit]: those that the cluster has begun with.
  std::vector<placement> maps;
  std::vector<unit_id> units_of_ranks;   ///< By rank of the cluster.
  std::vector<unit_id> units_of_workers; ///< Likewise.
  kernels::row_layout dispatch_layout;   ///< Of rows to workers.
  uint32_t combine_row_bytes = 0;        ///< Of rows back.
  traffic_limits traffic;
  digest_table digests; ///< Of every tensor that was packed.
  std::vector<input_file::stamp> loaded_from; ///< The checkpoint's files.
  std::shared_ptr<kernels::device> device;
  /// Where experts are taken from that come later; null: none can.
  std::shared_ptr<shared_model> model;
  memory_room room{false};                            ///< For them.
  std::stop_token stop;                               ///< Ends loading.
  std::unique_ptr<slab_pool> slabs;                   ///< Of rows to workers.
  std::unique_ptr<slab_pool> answers;                 ///< Of rows back.
  std::shared_ptr<const attention_weights> attention; ///< Of all ranks.
  std::unique_ptr<keeper_parts> keeper; ///< Null: nothing is kept.
  std::vector<std::unique_ptr<rank_parts>> ranks;
  std::vector<std::unique_ptr<worker_parts>> workers;

  /// That the rank has begun to plan with.
  const placement& map_of_rank(rank_id rank) const {
    return maps[units_of_ranks[rank]];
  }

  /// Names the blocks of all ranks for the keeper, if there is one. `about`:
  /// what the node has said of itself; `model`: every tensor of its model
  /// directory. Before any rank runs.
  void identify_blocks(const numerics& about, const digest_table& model);

  /// Waits for what the streams were given, and ends them: after it nothing
  /// of a step sends or tells any more, whoever else holds this. Nobody may
  /// enqueue any more; not on a thread of their pool.
  void end_streams();

  ~node_parts();
};

/// Loads the parts of `node`. `on_settings` hears, before any weight is read,
/// what the node will compute with. Errors: whatever the checkpoint or the
/// device says; invalid_input if the topology does not fit the model.
result<std::shared_ptr<node_parts>>
load_node_parts(const topology& cluster, node_id node,
                const std::string& model_dir, const node_options& options,
                const node_progress& progress = {},
                const std::function<void(const numerics&)>& on_settings = {},
                const placements_of_units* begins_with = nullptr);

/// The placements that follow from topology and model: [unit].
std::vector<placement> place_experts(const topology& cluster,
                                     const model_config& config);

/// Digests of every tensor in `model_dir`: of those in `held`, which was read
/// from files with the stamps `held_from`, as they were packed, of the others
/// as they were kept in options.cache_dir, and of what is left as it is read
/// now. All are kept there. A shared model knows its own. Errors: io, also if
/// the files are other ones now; invalid_input; cancelled.
result<digest_table>
digest_model_dir(const std::string& model_dir, const digest_table& held,
                 const std::vector<input_file::stamp>& held_from,
                 const node_options& options,
                 const node_progress& progress = {});

/// Says whether ranks, workers and lengths of `cluster` fit the model.
result<void> check_fits(const topology& cluster, const model_config& config);

} // namespace troupe
