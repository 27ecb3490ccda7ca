#include "actors/block_courier.hpp"

#include "runtime/batching/fetch_patience.hpp"

#include <algorithm>
#include <span>

namespace troupe {

namespace {

/// Chains that may be asked for, and requests that may wait for them; what
/// comes beyond that is computed.
constexpr size_t max_fetches = 64;
constexpr uint32_t max_waiting = 256;

} // namespace

block_courier::block_courier(const node_context& context, rank_id rank,
                             prefix_cache& cache)
  : context_(context), rank_(rank), cache_(cache) {
}

bool block_courier::is_on() const {
  return cache_.keeps_keys();
}

// -- to the disk --------------------------------------------------------------

void block_courier::keep_fresh() {
  if (!is_on())
    return;
  keep(cache_.take_fresh());
  if (auto spoilt = cache_.take_spoilt(); !spoilt.empty())
    tell(context_.here->read()->keeper, drop_blocks{std::move(spoilt)});
}

void block_courier::keep(const std::vector<uint32_t>& blocks) {
  keep_blocks out{rank_, {}};
  for (auto block : blocks) {
    cache_.hold(block);
    out.blocks.push_back({block, cache_.described(block)});
  }
  if (!out.blocks.empty())
    tell(context_.here->read()->keeper, std::move(out));
}

void block_courier::take(const blocks_let_go& msg) {
  // The ends of chains first: beginnings stay longest.
  for (auto i = msg.blocks.rbegin(); i != msg.blocks.rend(); ++i)
    cache_.release(*i);
}

// -- from the disk ------------------------------------------------------------

/// Somebody's fetch, of whose blocks at least half are in `chain`; or null.
block_courier::fetch*
block_courier::to_follow(const std::vector<kv_block>& chain) {
  for (auto& [id, x] : fetches_) {
    if (!x.who || !x.of->may_bring_more())
      continue;
    // What has become known is no part of `chain` either.
    auto theirs = std::span{x.of->missing()}.subspan(x.of->num_known());
    auto same_key = [](auto& a, auto& b) { return a.key == b.key; };
    auto [end, ignored] = std::ranges::mismatch(theirs, chain, same_key);
    if (size_t(end - theirs.begin()) * 2 >= theirs.size())
      return &x;
  }
  return nullptr;
}

block_courier::wait block_courier::begin(const run_request& msg,
                                         const estimate& seconds_for,
                                         bool may_follow) {
  if (!is_on() || fetches_.size() >= max_fetches
      || num_waiting() >= max_waiting)
    return wait::none;
  auto of = std::make_unique<chain_fetch>(cache_, msg.what, msg.answered);
  auto chain = std::make_shared<const std::vector<kv_block>>(of->missing());
  if (chain->empty()) {
    keep(of->held());
    return wait::none;
  }
  if (auto* other = may_follow ? to_follow(*chain) : nullptr) {
    other->followers.push_back(msg);
    return wait::following;
  }
  keep(of->held()); // before what stands on it is looked for
  auto count = static_cast<uint32_t>(chain->size()) * kv_block::num_tokens;
  auto seconds = seconds_for(of->num_tokens_before(), count);
  patience_ = seconds == 0 ? most_patience : patience_for(seconds);
  auto is_wanted = std::make_shared<std::atomic<bool>>(true);
  fetches_[++last_] = {std::move(of), msg, is_wanted};
  tell(context_.here->read()->keeper,
       fetch_chain{rank_, last_, chain, seconds, is_wanted});
  return wait::fetching;
}

/// What is still on its way is not worth more blocks.
void block_courier::let_go(fetch& x) {
  *x.is_wanted = false;
  x.of->let_go();
}

/// Who followed has not looked for its own rest.
block_courier::arrivals
block_courier::look_after(std::map<uint64_t, fetch>::iterator i) {
  auto& x = i->second;
  if (!x.of->is_wanted())
    *x.is_wanted = false;
  if (!x.of->is_over())
    return {};
  let_go(x);
  arrivals out{{}, std::move(x.followers)};
  if (x.who)
    (x.is_anothers ? out.again : out.in).push_back(std::move(*x.who));
  fetches_.erase(i);
  return out;
}

/// What the keeper speaks of is here: it says each thing once.
std::map<uint64_t, block_courier::fetch>::iterator
block_courier::fetch_of(uint64_t id) {
  auto i = fetches_.find(id);
  CHECK(i != fetches_.end());
  return i;
}

block_courier::arrivals block_courier::take(const chain_found& msg) {
  auto i = fetch_of(msg.fetch);
  i->second.of->expect(msg.count);
  return look_after(i);
}

block_courier::arrivals block_courier::take(const block_fetched& msg,
                                            uint32_t reserve) {
  auto i = fetch_of(msg.fetch);
  auto& of = *i->second.of;
  if (!msg.bytes)
    of.lose(msg.index);
  else if (auto block = of.take(msg.index, reserve, msg.is_kept))
    tell(context_.here->read()->keeper,
         land_block{rank_, msg.fetch, msg.index, *block, msg.bytes});
  return look_after(i);
}

block_courier::arrivals block_courier::take(const block_landed& msg) {
  auto i = fetch_of(msg.fetch);
  i->second.of->land(msg.index, msg.ok);
  return look_after(i);
}

/// All go on with what has come so far: nobody waits for a slow disk twice.
block_courier::arrivals block_courier::take(const fetch_overdue& msg) {
  auto i = fetches_.find(msg.fetch);
  if (i == fetches_.end())
    return {};
  auto& x = i->second;
  let_go(x);
  arrivals out{std::exchange(x.followers, {}), {}};
  if (auto who = std::exchange(x.who, std::nullopt))
    out.in.insert(out.in.begin(), std::move(*who));
  return out;
}

/// Its fetch goes on if anybody follows, for the first of those.
std::optional<run_request> block_courier::cancel(const cancel_request& msg) {
  auto is_it = [&](const run_request& x) {
    return x.request == msg.request && x.term == msg.term;
  };
  for (auto& [id, x] : fetches_) {
    auto follower = std::ranges::find_if(x.followers, is_it);
    auto leads = x.who && is_it(*x.who);
    if (leads && x.followers.empty()) {
      let_go(x);
      return std::exchange(x.who, std::nullopt);
    }
    if (!leads && follower == x.followers.end())
      continue;
    auto next = leads ? x.followers.begin() : follower;
    auto out = leads ? std::exchange(*x.who, std::move(*next))
                     : std::move(*next);
    x.followers.erase(next);
    x.is_anothers |= leads;
    return out;
  }
  return std::nullopt;
}

uint32_t block_courier::num_waiting() const {
  size_t out = 0;
  for (auto& [id, x] : fetches_)
    out += x.who.has_value() + x.followers.size();
  return static_cast<uint32_t>(out);
}

} // namespace troupe
