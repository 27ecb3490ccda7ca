#include "runtime/cluster/request_mover.hpp"

#include "kernels/ops.hpp"
#include "runtime/formatted.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr uint64_t block_tokens = kernels::latent_cache::block_tokens;

/// What a request may take of a cache beyond its tokens before it is let in:
/// the rest of its last block, and one more.
constexpr uint64_t more_for_request = 2 * block_tokens;

double seconds(uint64_t ps) {
  return double(ps) / 1e12;
}

uint64_t tokens_of(request_id id, const request_journal& journal) {
  return journal.what(id)->prompt.size() + journal.answered(id).size();
}

bool is_one_of(const std::vector<rank_id>& all, rank_id x) {
  return std::ranges::find(all, x) != all.end();
}

} // namespace

request_mover::request_mover(const request_settings& settings,
                             const topology& cluster)
  : settings_(settings), limits_(cluster.limits),
    kv_tokens_(cluster.num_kv_blocks() * block_tokens) {
  for (auto& unit : cluster.all_units())
    if (unit.role != unit_role::prefill)
      units_.emplace_back(unit.ranks.begin(), unit.ranks.end());
}

void request_mover::hear(const part_loads& x) {
  for (auto& y : x.ranks)
    if (y.request_ps + y.kv_token_ps > 0)
      prices_[y.rank] = {seconds(y.step_ps),
                         {seconds(y.request_ps), seconds(y.kv_token_ps)}};
}

/// The mean of all that have told: they are machines alike.
std::optional<request_mover::prices> request_mover::price() const {
  if (prices_.empty())
    return std::nullopt;
  prices out;
  for (auto& [rank, x] : prices_) {
    out.step += x.step / double(prices_.size());
    out.each.request += x.each.request / double(prices_.size());
    out.each.kv_token += x.each.kv_token / double(prices_.size());
  }
  return out;
}

/// With what is on its way there, but for one request.
balance::decode_rank
request_mover::rank_of(rank_id rank, const request_journal& journal,
                       std::optional<request_id> except) const {
  auto x = journal.share_of(rank);
  for (auto& [id, y] : courses_)
    if (y.what.to == rank && id != except && !y.is_given_up
        && journal.is_owned(id, y.what.term)) {
      ++x.requests;
      x.tokens += tokens_of(id, journal);
    }
  balance::decode_rank out;
  out.requests = x.requests;
  out.kv_tokens = x.tokens;
  out.max_requests = limits_.max_num_running();
  auto more = more_for_request * (x.requests + uint64_t{1});
  out.max_kv_tokens = kv_tokens_ - std::min(kv_tokens_, more);
  return out;
}

std::vector<rank_id> request_mover::best_of(std::vector<rank_id> usable,
                                            const request_journal& journal,
                                            uint64_t tokens) const {
  auto costs = price();
  if (!costs)
    return usable;
  std::vector<balance::decode_rank> ranks;
  for (auto rank : usable)
    ranks.push_back(rank_of(rank, journal));
  auto best = balance::decode_balancer{costs->each}.place(ranks, tokens);
  return best ? std::vector{usable[*best]} : usable;
}

// -- who moves ----------------------------------------------------------------

std::vector<request_mover::order>
request_mover::plan(const request_journal& journal,
                    const std::vector<rank_id>& usable, clock::instant now) {
  look_after(journal, now);
  std::vector<order> out;
  for (auto& unit : units_) {
    auto ranks = unit;
    std::erase_if(ranks, [&](auto x) { return !is_one_of(usable, x); });
    auto moves = [&](auto& x) { return is_one_of(unit, x.second.what.from); };
    if (ranks.size() > 1 && std::ranges::none_of(courses_, moves))
      plan_unit(ranks, journal, now, out);
  }
  return out;
}

/// Of courses that nobody hears of any more.
void request_mover::look_after(const request_journal& journal,
                               clock::instant now) {
  std::vector<request_id> over, late;
  for (auto& [id, x] : courses_)
    if (!journal.is_owned(id, x.what.term))
      over.push_back(id);
    else if (now >= x.since + settings_.patience)
      late.push_back(id);
  for (auto id : over)
    refuse(id);
  for (auto id : late)
    give_up(id);
  std::erase_if(rests_until_, [=](auto& x) { return now >= x.second; });
}

/// Whoever has blocks of it knows.
void request_mover::refuse(request_id request) {
  auto i = courses_.find(request);
  if (!i->second.is_given_up)
    ++status_.refused;
  courses_.erase(i);
  is_news_ = true;
}

/// It stays where it is, and whoever has blocks of it has to hear so.
void request_mover::give_up(request_id request) {
  auto& x = courses_.at(request);
  if (std::exchange(x.is_given_up, true))
    return;
  given_up_.push_back(x.what);
  ++status_.refused;
  is_news_ = true;
  if (x.is_copied)
    courses_.erase(request);
}

/// Its prompt is computed, there is something left of it, and nothing says that
/// it is to be where it is.
bool request_mover::may_move(const request_journal::running& x) const {
  return !x.who.next && !x.what.rank && x.num_answered > 0 && x.deaths == 0
         && x.num_answered + settings_.least_left < x.what.max_tokens
         && !rests_until_.contains(x.id);
}

void request_mover::plan_unit(const std::vector<rank_id>& ranks,
                              const request_journal& journal,
                              clock::instant now, std::vector<order>& out) {
  std::vector<balance::decode_rank> shares;
  for (auto rank : ranks)
    shares.push_back(rank_of(rank, journal));
  std::vector<balance::decode_request> requests;
  std::map<request_id, uint32_t> terms;
  for (auto& x : journal.all_running()) {
    auto at = std::ranges::find(ranks, x.who.rank);
    if (at == ranks.end() || !may_move(x))
      continue;
    terms[x.id] = x.who.term;
    requests.push_back({x.id, uint32_t(at - ranks.begin()),
                        x.what.prompt.size() + x.num_answered});
  }
  auto costs = price();
  auto given = moves_of_policy(shares, requests);
  auto moves = given.value_or(std::vector<balance::request_move>{});
  if (!given && costs)
    moves = balance::decode_balancer{costs->each, settings_.caps}.plan_moves(
      shares, requests);
  status_.plans += moves.empty() ? 0 : 1;
  for (auto& x : moves) {
    order what{x.id, terms.at(x.id), ranks[x.from], ranks[x.to]};
    course begun{what, x, costs ? costs->step : 0, given.has_value()};
    begun.since = now;
    courses_[x.id] = begun;
    rests_until_[x.id] = now + settings_.rest;
    out.push_back(what);
  }
}

/// Nothing: there is none, or it breaks the rules.
std::optional<std::vector<balance::request_move>>
request_mover::moves_of_policy(
  const std::vector<balance::decode_rank>& ranks,
  const std::vector<balance::decode_request>& requests) {
  if (!settings_.policy)
    return std::nullopt;
  auto out = settings_.policy->plan(ranks, requests);
  auto why = balance::complaint_of(out, ranks, requests);
  if (why.empty())
    return out;
  if (complaint_.empty()) // not of a unit before it
    complaint_ = std::move(why);
  return std::nullopt;
}

// -- as it goes ---------------------------------------------------------------

void request_mover::copied(request_id request, uint32_t term, rank_id to,
                           bool ok) {
  auto i = courses_.find(request);
  if (i == courses_.end() || i->second.what.term != term
      || i->second.what.to != to)
    return; // late
  if (ok && !i->second.is_given_up)
    i->second.is_copied = true;
  else
    refuse(request);
}

bool request_mover::is_copied(request_id request) const {
  auto i = courses_.find(request);
  return i != courses_.end() && i->second.is_copied;
}

std::optional<rank_id> request_mover::due(request_id request,
                                          const request_journal& journal,
                                          const std::vector<rank_id>& usable) {
  if (!is_copied(request))
    return std::nullopt;
  auto& x = courses_.at(request);
  auto to = x.what.to;
  if (!journal.is_owned(request, x.what.term)) {
    refuse(request);
    return std::nullopt;
  }
  if (!is_one_of(usable, to) || !still_pays(x, journal)) {
    give_up(request);
    return std::nullopt;
  }
  note(x);
  courses_.erase(request);
  return to;
}

/// Both ranks may have got requests since it was planned, or lost some.
bool request_mover::still_pays(const course& x,
                               const request_journal& journal) const {
  auto costs = price();
  if (x.is_of_policy || !costs)
    return true;
  auto tokens = tokens_of(x.what.request, journal);
  auto from = rank_of(x.what.from, journal);
  auto to = rank_of(x.what.to, journal, x.what.request);
  if (!balance::decode_balancer{costs->each}.place({&to, 1}, tokens))
    return false; // there is no room
  ++to.requests;
  to.kv_tokens += tokens;
  return to.seconds(costs->each) < from.seconds(costs->each);
}

void request_mover::note(const course& x) {
  auto& [request, term, from, to] = x.what;
  auto before = x.step + x.planned.before, after = x.step + x.planned.after;
  moved_request out{request, from, to, x.planned.kv_tokens, {}, 0};
  out.reason = formatted("moved request %llu from %u to %u: predicted step "
                         "%.3g -> %.3g ms",
                         static_cast<unsigned long long>(request),
                         unsigned{from}, unsigned{to}, before * 1e3,
                         after * 1e3);
  out.gain = before > 0 ? (before - after) / before : 0;
  auto& recent = status_.recent;
  if (recent.size() == most_recent)
    recent.erase(recent.begin());
  recent.push_back(std::move(out));
  ++status_.moves;
  is_news_ = true;
}

} // namespace troupe
