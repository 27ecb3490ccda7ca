#include "runtime/cluster/request_journal.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

rank_id request_journal::choose(const std::vector<rank_id>& usable) const {
  CHECK(!usable.empty());
  return *std::ranges::min_element(usable, {}, [this](rank_id x) {
    return std::pair{shares_[x].requests, x};
  });
}

void request_journal::load(rank_id rank, const entry& x) {
  ++shares_[rank].requests;
  shares_[rank].tokens += x.num_tokens();
}

void request_journal::unload(rank_id rank, const entry& x) {
  --shares_[rank].requests;
  shares_[rank].tokens -= x.num_tokens();
}

/// Its owner has it no more, and nobody is to go on with it.
void request_journal::unload(entry& x) {
  if (!x.waits)
    unload(x.who.rank, x);
  if (auto next = std::exchange(x.who.next, std::nullopt))
    unload(*next, x);
}

request_journal::owner
request_journal::accept(request_id id,
                        std::shared_ptr<const generation_request> what,
                        const std::vector<rank_id>& usable) {
  CHECK(what && !entries_.contains(id));
  auto rank = choose(usable);
  auto& x = entries_[id];
  x.what = std::move(what);
  x.who = {rank, 1};
  load(rank, x);
  x.given = ++num_given_;
  return x.who;
}

void request_journal::accept_waiting(
  request_id id, std::shared_ptr<const generation_request> what) {
  CHECK(what && !entries_.contains(id));
  auto& x = entries_[id];
  x.what = std::move(what);
  x.waits = true;
}

std::optional<request_journal::owner> request_journal::suspend(request_id id) {
  auto& x = entries_.at(id);
  if (x.waits)
    return std::nullopt;
  auto was = x.who;
  unload(x);
  x.waits = true;
  return was;
}

bool request_journal::is_owned(request_id id, uint32_t term) const {
  auto i = entries_.find(id);
  return i != entries_.end() && !i->second.waits && i->second.who.term == term;
}

request_journal::owner
request_journal::raise(request_id id, const std::vector<rank_id>& usable) {
  auto& x = entries_.at(id);
  auto rank = choose(usable);
  unload(x);
  x.waits = false;
  load(rank, x);
  x.who.rank = rank;
  x.given = ++num_given_;
  if (!PLANTED(term_not_raised))
    ++x.who.term;
  return x.who;
}

request_journal::owner
request_journal::plan_next(request_id id, const std::vector<rank_id>& usable) {
  auto& x = entries_.at(id);
  CHECK(!x.waits && !x.who.next);
  if (!usable.empty()) {
    x.who.next = choose(usable);
    load(*x.who.next, x);
  }
  return x.who;
}

request_journal::owner
request_journal::pass_on(request_id id, const std::vector<rank_id>& usable) {
  auto next = entries_.at(id).who.next;
  auto is_there = next && std::ranges::find(usable, *next) != usable.end();
  return raise(id, is_there ? std::vector{*next} : usable);
}

std::optional<rank_id> request_journal::next_of(request_id id) const {
  auto i = entries_.find(id);
  return i == entries_.end() || i->second.waits ? std::nullopt
                                                : i->second.who.next;
}

rank_id request_journal::rank_of(request_id id) const {
  return entries_.at(id).who.rank;
}

request_journal::verdict
request_journal::commit(request_id id, uint32_t term,
                        const generation_event& event) {
  auto i = entries_.find(id);
  if (i == entries_.end())
    return verdict::unknown;
  auto& x = i->second;
  if (term < x.who.term || (x.waits && term == x.who.term))
    return verdict::outdated;
  if (term > x.who.term)
    return verdict::refused;
  if (event.first_position != x.answered.size()
      && !PLANTED(duplicate_token_committed))
    return event.first_position > x.answered.size() ? verdict::gap
                                                    : verdict::refused;
  x.answered.insert(x.answered.end(), event.tokens.begin(), event.tokens.end());
  shares_[x.who.rank].tokens += event.tokens.size();
  if (x.who.next)
    shares_[*x.who.next].tokens += event.tokens.size();
  if (auto n = x.what->num_prompt_scores; n > 0 && !event.prompt_scores.empty())
    x.next_scored = std::max(
      x.next_scored, event.first_scored
                       + static_cast<uint32_t>(event.prompt_scores.size() / n));
  if (event.finish != finish_reason::none)
    remove(id);
  return verdict::committed;
}

bool request_journal::may_repeat_scores(request_id id) const {
  auto i = entries_.find(id);
  return i != entries_.end() && i->second.who.term > 1
         && i->second.next_scored > 0;
}

generation_event
request_journal::without_known_scores(request_id id,
                                      generation_event event) const {
  auto& x = entries_.at(id);
  if (event.prompt_scores.empty() || event.first_scored >= x.next_scored)
    return event;
  uint64_t known = uint64_t{x.next_scored - event.first_scored}
                   * x.what->num_prompt_scores;
  auto& all = event.prompt_scores;
  all.erase(all.begin(), all.begin() + long(std::min(known, all.size())));
  event.first_scored = x.next_scored;
  return event;
}

uint32_t request_journal::mark(request_id id) {
  return ++entries_.at(id).deaths;
}

uint32_t request_journal::num_deaths(request_id id) const {
  return entries_.at(id).deaths;
}

uint32_t request_journal::set_back(request_id id) {
  return ++entries_.at(id).setbacks;
}

std::optional<request_journal::owner> request_journal::remove(request_id id) {
  auto i = entries_.find(id);
  if (i == entries_.end())
    return std::nullopt;
  auto [who, waits] = std::pair{i->second.who, i->second.waits};
  unload(i->second);
  entries_.erase(i);
  return waits ? std::nullopt : std::optional{who};
}

const std::shared_ptr<const generation_request>&
request_journal::what(request_id id) const {
  return entries_.at(id).what;
}

const std::vector<int32_t>& request_journal::answered(request_id id) const {
  return entries_.at(id).answered;
}

std::vector<request_id> request_journal::requests_of(rank_id rank) const {
  std::vector<request_id> out;
  for (auto& [id, x] : entries_)
    if (!x.waits && x.who.rank == rank)
      out.push_back(id);
  std::ranges::sort(out, {}, [this](auto id) { return entries_.at(id).given; });
  return out;
}

std::vector<request_journal::running> request_journal::all_running() const {
  std::vector<running> out;
  for (auto& [id, x] : entries_)
    if (!x.waits)
      out.push_back(
        {id, x.who, *x.what, uint32_t(x.answered.size()), x.deaths});
  return out;
}

std::vector<request_id> request_journal::waiting() const {
  std::vector<request_id> out;
  for (auto& [id, x] : entries_)
    if (x.waits)
      out.push_back(id);
  return out;
}

std::vector<request_id> request_journal::all() const {
  std::vector<request_id> out;
  for (auto& [id, x] : entries_)
    out.push_back(id);
  return out;
}

} // namespace troupe
