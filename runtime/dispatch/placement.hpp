#pragma once

/// Where experts live, and what a rank has to send where.
///
/// A *logical* expert is the checkpoint's; a *slot* is a place for one on a
/// worker ("physical expert"). Workers are numbered globally in node order.

#include "runtime/error.hpp"
#include "runtime/model/forward.hpp"
#include "runtime/transport/frame.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace troupe {

using worker_id = uint16_t;
using rank_id = uint16_t;

/// Ranks and workers that serve together, with a placement of their own.
using unit_id = uint16_t;

/// Of a slot that holds nobody.
constexpr uint32_t no_expert = UINT32_MAX;

/// One slot of one layer.
struct slot_address {
  worker_id worker = 0;
  uint16_t slot = 0;

  friend bool operator==(const slot_address&, const slot_address&) = default;
};

/// One of those that answer for an expert.
struct expert_replica {
  slot_address at;
  uint16_t weight = 1; ///< Its share of the rows is this of the sum; not 0.

  friend bool operator==(const expert_replica&, const expert_replica&)
    = default;
};

/// A replica of an expert of a layer, by itself.
struct placed_expert {
  uint16_t moe_layer = 0;
  uint16_t expert = 0; ///< Logical.
  expert_replica replica;

  friend bool operator==(const placed_expert&, const placed_expert&) = default;
};

/// A placement as data: what travels, and what one is asked for with.
struct placement_lists {
  unit_id unit = 0;
  uint32_t epoch = 0;
  std::vector<placed_expert> replicas; ///< In any order.

  friend bool operator==(const placement_lists&, const placement_lists&)
    = default;
};

/// Of some units.
using placements_of_units = std::vector<placement_lists>;

/// The expert map of one epoch: where the replicas of each expert are. Epochs
/// count the placements of a unit; who plans with one says so on every row that
/// it sends. An expert without a replica is *waiting*, and so are its rows.
class placement {
public:
  static constexpr uint32_t first_epoch = 1;

  placement() = default;

  /// Of every MoE layer E experts have S = E + num_redundant slots: slot s is
  /// for expert s mod E, and the W workers, node by node, take [w S / W,
  /// (w + 1) S / W). So none holds an expert twice, and neither does a node, if
  /// it has not more than E slots. 1 <= W <= S <= E W. Each worker has
  /// `num_spare` slots more, which are empty.
  ///
  /// Of a unit that has only some of the cluster's workers these are `members`;
  /// the others have no slots. Workers of `later` nodes come behind all others,
  /// so that these have every expert if they have E slots.
  placement(uint32_t num_moe_layers, uint32_t num_experts, uint32_t num_workers,
            std::vector<node_id> node_of_worker, unit_id unit = 0,
            uint32_t epoch = first_epoch, uint32_t num_redundant = 0,
            uint32_t num_spare = 0, const std::vector<uint32_t>& members = {},
            const std::set<node_id>& later = {});

  /// Other experts in the same slots. Error: invalid_input with a sentence, if
  /// a layer, expert, worker or slot does not exist, a weight is 0, a slot is
  /// for two, or a worker holds an expert twice.
  result<placement> with(const placement_lists& next) const;

  placement_lists lists() const;

  unit_id unit() const {
    return unit_;
  }

  uint32_t epoch() const {
    return epoch_;
  }

  /// Of the cluster.
  uint32_t num_workers() const {
    return static_cast<uint32_t>(node_of_worker_.size());
  }

  /// Whether it is one of the unit's.
  bool has_worker(worker_id worker) const {
    return worker < num_workers() && slots_of_worker_[worker] > 0;
  }

  uint32_t num_moe_layers() const {
    return num_moe_layers_;
  }

  uint32_t num_experts() const {
    return num_experts_;
  }

  /// By worker; empty if the expert is waiting.
  std::span<const expert_replica> replicas_of(uint32_t moe_layer,
                                              uint32_t expert) const {
    auto i = moe_layer * num_experts_ + expert;
    return std::span{replicas_}.subspan(first_[i], first_[i + 1] - first_[i]);
  }

  /// Experts that are waiting, of all layers.
  uint32_t num_waiting() const {
    return num_waiting_;
  }

  /// The replica that answers for `turn`, a number that goes on by one from row
  /// to row: each in its turn, as often as its weight says. The expert is not
  /// waiting.
  slot_address choose(uint32_t moe_layer, uint32_t expert, uint32_t turn) const;

  /// The same placement, in which nobody turns to workers of these nodes: some
  /// experts may be waiting then.
  placement left_by(const std::set<node_id>& nodes) const;

  /// The same, or nothing if an expert would be waiting.
  std::optional<placement> without(const std::set<node_id>& nodes) const;

  node_id node_of(worker_id worker) const {
    return node_of_worker_[worker];
  }

  /// Slots that a worker has in every layer, those that are empty included.
  uint32_t slots_of(worker_id worker) const {
    return slots_of_worker_[worker];
  }

  /// The most that any has.
  uint32_t num_slots() const {
    return num_slots_;
  }

  /// Returns the logical experts of a worker: [moe layer][slot], no_expert
  /// where a slot before others is empty.
  std::vector<std::vector<uint32_t>> experts_of(worker_id worker) const;

private:
  void fill(std::vector<placed_expert> all);

  unit_id unit_ = 0;
  uint32_t epoch_ = first_epoch;
  uint32_t num_moe_layers_ = 0;
  uint32_t num_experts_ = 0;
  uint32_t num_slots_ = 0;
  uint32_t num_waiting_ = 0;
  std::vector<expert_replica> replicas_;
  std::vector<uint32_t> first_; ///< Of each [moe layer, expert], and the end.
  std::vector<node_id> node_of_worker_;
  std::vector<uint32_t> slots_of_worker_;
};

/// The part of a slab that is meant for one worker.
struct slab_section {
  worker_id worker = 0;
  std::vector<slot_rows> slots; ///< Ascending by slot, none empty.
  std::vector<uint32_t> row;    ///< Index into the slab's rows, by slot.
  /// [slots]: the logical expert that the rank wants in each.
  std::vector<uint16_t> experts;
};

/// What one rank sends to one node in one layer, or a piece of it.
struct slab_plan {
  node_id node = 0;
  /// Number of the first answer: where the rows of the sections, one after the
  /// other, come to lie in the landing.
  uint32_t first = 0;
  std::vector<uint32_t> tokens;       ///< Rows of the batch, each once.
  std::vector<slab_section> sections; ///< Ascending by worker.
};

/// Everything that a rank has to know about one dispatch.
struct dispatch_plan {
  std::vector<slab_plan> slabs; ///< Ascending by piece, then by node.
  /// [rows * top_k]: where the output of a choice comes to lie in the landing.
  std::vector<uint32_t> row_of;

  /// Where a worker's answers to one section come to lie.
  struct returned {
    worker_id worker = 0;
    uint32_t first = 0;
    uint32_t count = 0;
  };

  /// Ascending by first, without gaps; within a piece ascending by worker.
  std::vector<returned> workers;
};

} // namespace troupe
