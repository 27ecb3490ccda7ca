#include "actors/request_balance.hpp"

#include "actors/tell_rank.hpp"

namespace troupe {

request_balance::request_balance(const node_context& context,
                                 const topology& cluster,
                                 std::shared_ptr<gateway_status> status,
                                 const request_journal& journal)
  : context_(context), cluster_(cluster), status_(std::move(status)),
    journal_(journal) {
  if (!status_->moving)
    return;
  mover_ = std::make_unique<request_mover>(*status_->moving, cluster);
  prompts_ = std::make_unique<prompt_placement>(cluster);
}

std::vector<rank_id>
request_balance::readers_of(const std::vector<rank_id>& usable,
                            const generation_request& what) {
  if (!mover_)
    return usable;
  return mover_->best_of(prompts_->best_of(usable, what, journal_), journal_,
                         what.prompt.size());
}

std::vector<rank_id> request_balance::decoders_of(std::vector<rank_id> usable,
                                                  request_id id) {
  auto tokens = journal_.what(id)->prompt.size() + journal_.answered(id).size();
  return mover_ ? mover_->best_of(std::move(usable), journal_, tokens) : usable;
}

void request_balance::given(request_id id) {
  if (prompts_)
    prompts_->given(id, journal_);
}

void request_balance::hear(const part_loads& x) {
  if (!mover_)
    return;
  mover_->hear(x);
  prompts_->hear(x);
}

void request_balance::lost(node_id node) {
  if (prompts_)
    for (auto rank : cluster_.nodes[node].ranks)
      prompts_->lost(rank_id(rank));
}

void request_balance::look(const std::vector<rank_id>& usable,
                           clock::instant now) {
  for (auto& x : mover_->plan(journal_, usable, now))
    tell_rank(context_, cluster_, x.from,
              move_request{x.request, x.from, x.term, x.to});
  auto why = mover_->take_complaint();
  if (!why.empty() && !has_complained_) // not at every interval
    context_.log->warning("a plan of the policy from outside is not followed, "
                          "and the built-in one acts: "
                          + why);
  has_complained_ = !why.empty();
  tell_given_up();
  publish();
}

/// Nothing is to be held for who stays.
void request_balance::tell_given_up() {
  for (auto& x : mover_->take_given_up())
    tell_rank(context_, cluster_, x.from,
              move_request{x.request, x.from, x.term, x.from});
}

void request_balance::take(const request_copied& msg) {
  if (!mover_)
    return;
  mover_->copied(msg.request, msg.term, msg.to, msg.ok);
  publish();
}

std::optional<rank_id>
request_balance::due(request_id id, const std::vector<rank_id>& usable) {
  auto out = mover_->due(id, journal_, usable);
  if (out)
    context_.log->info(mover_->status().recent.back().reason);
  tell_given_up();
  publish();
  return out;
}

void request_balance::take_from(request_id id,
                                const request_journal::owner& owner) const {
  tell_rank(context_, cluster_, owner.rank,
            cancel_request{id, owner.rank, owner.term, true});
}

void request_balance::publish() {
  if (!mover_->take_news())
    return;
  auto status = std::make_shared<const request_status>(mover_->status());
  std::lock_guard lock{status_->mutex};
  status_->request_balance = std::move(status);
}

} // namespace troupe
