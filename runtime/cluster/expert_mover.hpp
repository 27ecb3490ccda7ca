#pragma once

/// When experts of a unit are moved, and by which changes of its placement: the
/// decisions of the balancer, without clock or mailbox.
///
///     resting --interval over--> planning --there is a plan--> changing --+
///       ^  ^                        |                          |  ^      |
///       |  +-----nothing to do------+     refused, given up,   |  +-done-+
///       +---------------somebody lost or back, all goals reached
///
/// Nothing is planned while an expert is waiting, and before a whole interval
/// has passed since somebody was lost or came back: repairs come first.

#include "runtime/balance/expert_loads.hpp"
#include "runtime/balance/expert_plan.hpp"
#include "runtime/cluster/balance_settings.hpp"
#include "runtime/cluster/balance_status.hpp"

namespace troupe {

/// That any expert has where a placement begins, at nodes that are there.
uint32_t least_replicas(const placement& first,
                        const std::set<node_id>& absent);

class expert_mover {
public:
  /// What plans lie in: which layers of the model have experts, and what a
  /// copy costs.
  struct terms {
    std::vector<uint32_t> layers;
    uint32_t num_experts = 0;
    double expert_bytes = 0; ///< Of one, in one layer.
    double row_bytes = 1;    ///< Of a row for one expert, there and back.
    unit_id unit = 0;
    uint32_t least_replicas = 1; ///< That each expert keeps.
  };

  /// `absent`: who may come later.
  expert_mover(const balance_settings& settings, terms x, clock::instant now,
               std::set<node_id> absent = {});

  // -- events -----------------------------------------------------------------

  /// See expert_loads::hear.
  void hear(node_id node, uint64_t incarnation,
            std::span<const uint64_t> counts, clock::instant now);

  void lost(node_id node, clock::instant now);
  void back(node_id node, clock::instant now);

  /// Its workers have nothing any more and get nothing until it stays.
  void leaves(node_id node, clock::instant now);
  void stays(node_id node, clock::instant now);

  /// Whether tick() may have something to do.
  bool is_due(clock::instant now) const {
    return now >= (phase_ == phase::resting ? next_ : since_ + patience);
  }

  /// What to plan with, if it is time; answer with planned(). `map`: the
  /// newest placement.
  std::optional<balance::plan_matter> tick(const placement& map,
                                           clock::instant now);

  /// The plan of this round is there.
  void planned(uint32_t round, balance::expert_plan plan, const placement& map,
               clock::instant now);

  /// What has become of the change of this round: its epoch, which `map` has;
  /// or why there is none.
  void changed(uint32_t round, const result<uint32_t>& epoch,
               const placement& map, clock::instant now);

  // -- what is to be done -----------------------------------------------------

  /// The placement that is to follow, once; answer with changed().
  std::optional<placement_lists> take_change();

  /// Of the plan or change under way; what is said of another is late.
  uint32_t round() const {
    return round_;
  }

  const balance_status& status() const {
    return status_;
  }

  /// Moves that are done and were not taken so far, in order.
  std::vector<expert_move> take_moves();

private:
  enum class phase : uint8_t { resting, planning, changing };

  /// What is asked for is answered sooner, or not at all.
  static constexpr std::chrono::minutes patience{15};
  static constexpr size_t most_recent = 64;

  void let_go(clock::instant now);
  void rest(clock::instant now);
  void go_on(const placement& map, clock::instant now);
  void age(clock::instant now);
  void note(uint32_t epoch);

  const balance_settings settings_;
  const terms terms_;
  balance::expert_loads loads_;
  std::optional<balance::load_table> first_loads_; ///< Not planned with so far.
  clock::instant aged_;                            ///< Until then.
  clock::instant next_;                            ///< When to plan.
  clock::instant since_ = {};                      ///< Of the phase.
  phase phase_ = phase::resting;
  uint32_t round_ = 0;
  std::set<node_id> absent_;
  std::set<node_id> leaving_; ///< Or left in peace.
  balance::expert_plan plan_;
  std::optional<balance::next_change> change_; ///< Under way.
  bool is_new_ = false;                        ///< And not taken so far.
  std::vector<expert_move> moves_;             ///< Likewise.
  balance_status status_;
};

} // namespace troupe
