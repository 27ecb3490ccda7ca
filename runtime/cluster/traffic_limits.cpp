#include "runtime/cluster/traffic_limits.hpp"

#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "runtime/model/forward.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe {

namespace {

/// A run of so many rows, or pairs of a row and an expert (in all, or for each
/// slot of the worker), is as good as a longer one: the weights are read for
/// all of them. Longer ones would only take memory; what is more runs in turn.
constexpr uint64_t enough_rows = 2048;
constexpr uint64_t enough_pairs = 4096;
constexpr uint64_t enough_slot_pairs = 256;

/// Answers beyond this wait until others are out, unless one run needs more.
constexpr uint64_t enough_answers = uint64_t{1} << 30;

/// Control that is not of a request: reports, verdicts, the view.
constexpr uint64_t other_control = uint64_t{64} << 20;

/// A request or its tokens on the wire, beside the prompt.
constexpr uint64_t request_overhead = 1024;

uint64_t ceil_div(uint64_t x, uint64_t y) {
  return (x + y - 1) / y;
}

/// What the formulas are made of, as 64 bits that cannot overflow: rows are at
/// most 65,536, ranks and workers 4,096.
struct quantities {
  quantities(const topology& cluster, const model_config& config,
             const std::vector<placement>& maps, node_id node)
    : rows(cluster.limits.max_num_batched_tokens),
      all_ranks(cluster.num_ranks()),
      ranks_here(cluster.nodes[node].ranks.size()),
      workers_here(cluster.nodes[node].workers.size()),
      top_k(config.num_experts_per_tok),
      row_bytes(config.dispatch_layout(cluster.activations).row_bytes()),
      answer_bytes(
        config.hidden_size
        * kernels::size_of(config.combine_type(cluster.activations))) {
    auto& here = cluster.nodes[node];
    for (auto& unit : cluster.all_units()) {
      auto is_member = [](auto& all, auto& of) {
        return std::ranges::any_of(
          of, [&](auto x) { return std::ranges::find(all, x) != all.end(); });
      };
      if (is_member(unit.workers, here.workers))
        ranks += unit.ranks.size();
      uint64_t nodes = 0;
      for (auto& x : cluster.nodes)
        nodes += is_member(unit.workers, x.workers) ? 1 : 0;
      if (is_member(unit.ranks, here.ranks))
        expert_nodes = std::max(expert_nodes, nodes);
    }
    auto units = cluster.units_of_workers();
    for (auto w : here.workers) {
      auto slots = uint64_t{most_slots(maps[units[w]], worker_id(w))};
      slots_here += slots;
      worker_slots = std::max(worker_slots, slots);
    }
  }

  uint64_t rows;
  uint64_t all_ranks;
  uint64_t ranks = 0; ///< That send rows here.
  uint64_t ranks_here;
  uint64_t workers_here;
  uint64_t top_k;
  uint64_t row_bytes;
  uint64_t answer_bytes;
  uint64_t expert_nodes = 0; ///< To which a rank here sends rows, at most.
  uint64_t slots_here = 0;
  uint64_t worker_slots = 0; ///< Of one worker here, at most.

  /// Experts on this node that a row may have chosen.
  uint64_t choices_here() const {
    return std::min(top_k, slots_here);
  }

  /// Bytes of a row on its way to a node, with all that a slab says of it.
  uint64_t dispatched() const {
    return row_bytes + top_k * slab_choice_bytes;
  }
};

uint32_t rows_in(uint64_t bytes, uint64_t row) {
  return static_cast<uint32_t>(std::max<uint64_t>(bytes / row, 1));
}

/// What the slabs of one rank's layer take of a pool, for all nodes.
uint64_t slabs_of_rank(const quantities& q, uint64_t num_pieces) {
  auto copies = std::min(q.expert_nodes, q.top_k); // of a row
  auto frames = num_pieces * q.expert_nodes;
  return slab_pool::footprint(
    q.rows * copies * q.dispatched() + frames * slab_overhead, frames);
}

/// What answers to `rows` rows in `num_pieces` slabs take of a pool.
uint64_t answers_to(const quantities& q, const traffic_limits& x, uint64_t rows,
                    uint64_t num_pieces) {
  auto answers = rows * q.choices_here();
  auto frames = ceil_div(answers, x.combine_rows) + num_pieces; // short ones
  return slab_pool::footprint(
    answers * q.answer_bytes + frames * answer_head(q.workers_here), frames);
}

} // namespace

uint32_t most_slots(const placement& map, worker_id worker) {
  return map.num_moe_layers() > 0 ? map.slots_of(worker) : 0;
}

traffic_limits plan_traffic(const topology& cluster, const model_config& config,
                            const std::vector<placement>& maps, node_id node) {
  quantities q{cluster, config, maps, node};
  auto& limits = cluster.limits;
  auto frame = std::max<uint64_t>(limits.max_frame_bytes, slab_overhead);
  traffic_limits out;
  out.dispatch_rows = rows_in(frame - slab_overhead, q.dispatched());
  auto head = answer_head(q.workers_here);
  out.combine_rows = rows_in(
    std::max<uint64_t>(limits.max_frame_bytes, head) - head, q.answer_bytes);
  // Each step that is out may end with a short one.
  auto pieces = ceil_div(q.rows, out.dispatch_rows) + limits.num_lanes() - 1;
  out.dispatch_bytes = q.rows * q.dispatched() + pieces * slab_overhead;
  out.combine_bytes = q.rows * q.choices_here() * q.answer_bytes;
  // A slab that is out is given back a little after its rows are answered:
  // twice, so that the next layer does not wait for that.
  out.slab_bytes = 2 * q.ranks_here * slabs_of_rank(q, pieces);
  if (q.workers_here > 0) {
    auto run = std::min(
      q.rows * q.ranks,
      std::max(std::min<uint64_t>(q.rows, out.dispatch_rows), enough_rows));
    out.max_staging_rows = static_cast<uint32_t>(run);
    auto pairs = std::min({run * std::min(q.top_k, q.worker_slots),
                           enough_slot_pairs * q.worker_slots, enough_pairs});
    out.max_run_pairs = static_cast<uint32_t>(pairs);
    out.worker_bytes = run * q.row_bytes
                       + expert_stages::num_bytes(config, cluster.activations,
                                                  out.max_run_pairs);
    // A run may be made of many small slabs: as many as it has rows.
    auto of_run = answers_to(q, out, run, run);
    auto of_all = q.ranks * answers_to(q, out, q.rows, pieces);
    out.answer_bytes = std::max(of_run, std::min(of_all, enough_answers));
    out.received_bytes = q.ranks * out.dispatch_bytes;
  }
  out.received_bytes += q.ranks_here * q.rows * q.top_k * q.answer_bytes;
  auto open = q.all_ranks
              * (uint64_t{limits.max_num_running()} + limits.max_num_waiting);
  auto rows = out.slab_bytes + out.answer_bytes;
  out.max_unsent
    = rows + rows / 16 + other_control
      + open * (16 * uint64_t{cluster.max_model_len} + request_overhead);
  return out;
}

} // namespace troupe
