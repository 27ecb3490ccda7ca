#pragma once

/// Which rank gets a request, and which requests that run go on elsewhere, by
/// what ranks take for a step: a part of the gateway's actor, which hands on
/// what concerns it. The decisions are request_mover's.

#include "actors/cast.hpp"
#include "runtime/cluster/prompt_placement.hpp"
#include "runtime/cluster/request_mover.hpp"

namespace troupe {

class request_balance {
public:
  /// `journal` outlives this.
  request_balance(const node_context& context, const topology& cluster,
                  std::shared_ptr<gateway_status> status,
                  const request_journal& journal);

  /// Of `usable` those that have read the prompt of `what` first, and of them
  /// the one that goes on fastest, as far as anything is known.
  std::vector<rank_id> readers_of(const std::vector<rank_id>& usable,
                                  const generation_request& what);

  /// Of `usable`, which may be empty, the one that goes on with a request
  /// fastest, likewise.
  std::vector<rank_id> decoders_of(std::vector<rank_id> usable, request_id id);

  /// Its rank has been chosen.
  void given(request_id id);

  void hear(const part_loads& x);
  void lost(node_id node);

  /// Has blocks copied of those that should move; `usable`: the ranks that may
  /// have requests.
  void look(const std::vector<rank_id>& usable, clock::instant now);

  void take(const request_copied& msg);

  /// Whether due() may have somebody.
  bool is_copied(request_id id) const {
    return mover_ && mover_->is_copied(id);
  }

  /// Who is to go on with a request from now on, since that has been copied;
  /// nobody: who has it.
  std::optional<rank_id> due(request_id id, const std::vector<rank_id>& usable);

  /// Its former owner forgets a request that has moved.
  void take_from(request_id id, const request_journal::owner& owner) const;

private:
  void tell_given_up();
  void publish();

  const node_context context_;
  const topology cluster_;
  const std::shared_ptr<gateway_status> status_;
  const request_journal& journal_;
  bool has_complained_ = false;          ///< Of the last plan from outside.
  std::unique_ptr<request_mover> mover_; ///< Null: nobody moves.
  std::unique_ptr<prompt_placement> prompts_; ///< Null: likewise.
};

} // namespace troupe
