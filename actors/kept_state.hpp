#pragma once

/// The state of the cluster on its way to where it is kept: a part of the
/// controller's actor. One write at a time is out, on a thread of its own; what
/// is to be kept meanwhile goes with the next one.

#include "actors/cast.hpp"
#include "runtime/cluster/state_store.hpp"

#include <map>
#include <memory>
#include <optional>

namespace troupe {

class kept_state {
public:
  /// A disk that takes longer keeps nobody waiting any more.
  static constexpr std::chrono::seconds patience{30};
  /// Between two tries to keep a placement.
  static constexpr std::chrono::seconds pause{5};

  kept_state() = default;

  /// `begins_with`: null for what follows from the topology. `kept`: nobody
  /// else's from now on.
  kept_state(const node_context& context, const topology& cluster,
             std::shared_ptr<state_store> kept,
             const placements_of_units* begins_with);

  /// The number of the last view that was kept by then.
  uint32_t last_view() const {
    return last_ ? last_->view : 0;
  }

  /// It is to be kept with the next write.
  void placed(std::shared_ptr<const placement_lists> map);

  /// Whether a write is out.
  bool is_busy() const {
    return is_busy_;
  }

  /// The write that is out has taken too long.
  bool is_stuck() const {
    return is_stuck_;
  }

  /// Whether there are placements for a write without a view.
  bool has_news() const {
    return has_news_ && last_;
  }

  /// Whether a placement was to be kept and is not so far.
  bool is_behind() const {
    return again_.has_value();
  }

  /// Whether it is time to try that again; then it is news.
  bool is_due(clock::instant now);

  /// Of tries to keep placements, one after the other.
  uint32_t num_failures() const {
    return num_failures_;
  }

  /// Begins to keep all that there is, with the view, if any. state_kept
  /// follows, from `self`'s clock at the latest. Not while one is out.
  template <class Self>
  void write(Self* self, std::shared_ptr<const view> members) {
    auto number = begin(controller{self}, std::move(members));
    tell_later(self, controller{self}, patience,
               state_kept{number,
                          failure{errc::deadline_passed,
                                  "the state of the cluster is not kept: the "
                                  "disk has taken longer than 30 s"},
                          nullptr, false});
  }

  /// Whether that is news of the write that is out: its end, or that it takes
  /// too long.
  bool take(const state_kept& msg, clock::instant now);

private:
  uint64_t begin(const controller& answers_to,
                 std::shared_ptr<const view> members);

  std::function<void(std::function<void()>)> run_;
  std::shared_ptr<const topology> cluster_;
  std::shared_ptr<state_store> kept_;         ///< Of the write that is out.
  std::shared_ptr<const cluster_state> last_; ///< Null: there is none.
  std::map<unit_id, std::shared_ptr<const placement_lists>> newest_;
  uint64_t number_ = 0; ///< Of the last write.
  bool is_busy_ = false;
  bool is_stuck_ = false;
  bool has_news_ = false; ///< Placements that no write has taken along.
  bool is_laden_ = false; ///< The write that is out has.
  std::optional<clock::instant> again_; ///< When to try those of the last one.
  uint32_t num_failures_ = 0;
};

} // namespace troupe
