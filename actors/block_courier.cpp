#include "actors/block_courier.hpp"

#include "runtime/batching/fetch_patience.hpp"

namespace troupe {

namespace {

/// Requests that may wait for a disk; more are computed.
constexpr size_t max_fetches = 64;

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
  keep_blocks out{rank_, {}};
  for (auto block : cache_.take_fresh()) {
    cache_.hold(block);
    out.blocks.push_back({block, cache_.described(block)});
  }
  auto to = context_.here->read()->keeper;
  if (!out.blocks.empty())
    tell(to, std::move(out));
  if (auto spoilt = cache_.take_spoilt(); !spoilt.empty())
    tell(to, drop_blocks{std::move(spoilt)});
}

void block_courier::take(const blocks_let_go& msg) {
  for (auto block : msg.blocks)
    cache_.release(block);
}

// -- from the disk ------------------------------------------------------------

bool block_courier::begin(const run_request& msg, const estimate& seconds_for) {
  if (!is_on() || fetches_.size() >= max_fetches)
    return false;
  auto of = std::make_unique<chain_fetch>(cache_, msg.what, msg.answered);
  auto chain = std::make_shared<const std::vector<kv_block>>(of->missing());
  if (chain->empty())
    return false;
  auto count = static_cast<uint32_t>(chain->size()) * kv_block::num_tokens;
  auto seconds = seconds_for(of->num_tokens_before(), count);
  patience_ = seconds == 0 ? most_patience : patience_for(seconds);
  auto is_wanted = std::make_shared<std::atomic<bool>>(true);
  fetches_[++last_] = {std::move(of), msg, is_wanted};
  tell(context_.here->read()->keeper,
       fetch_chain{rank_, last_, chain, seconds, is_wanted});
  return true;
}

/// It goes on with what has come so far; what is still on its way is not worth
/// more blocks.
block_courier::arrival block_courier::let_in(fetch& x) {
  *x.is_wanted = false;
  x.of->let_go();
  return std::exchange(x.who, std::nullopt);
}

block_courier::arrival
block_courier::look_after(std::map<uint64_t, fetch>::iterator i) {
  auto& x = i->second;
  if (!x.of->is_wanted())
    *x.is_wanted = false;
  if (!x.of->is_over())
    return std::nullopt;
  auto out = let_in(x);
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

block_courier::arrival block_courier::take(const chain_found& msg) {
  auto i = fetch_of(msg.fetch);
  i->second.of->expect(msg.count);
  return look_after(i);
}

block_courier::arrival block_courier::take(const block_fetched& msg,
                                           uint32_t reserve) {
  auto i = fetch_of(msg.fetch);
  auto& of = *i->second.of;
  if (!msg.bytes)
    of.lose(msg.index);
  else if (auto block = of.take(msg.index, reserve))
    tell(context_.here->read()->keeper,
         land_block{rank_, msg.fetch, msg.index, *block, msg.bytes});
  return look_after(i);
}

block_courier::arrival block_courier::take(const block_landed& msg) {
  auto i = fetch_of(msg.fetch);
  i->second.of->land(msg.index, msg.ok);
  return look_after(i);
}

block_courier::arrival block_courier::take(const fetch_overdue& msg) {
  auto i = fetches_.find(msg.fetch);
  return i == fetches_.end() ? std::nullopt : let_in(i->second);
}

block_courier::arrival block_courier::cancel(const cancel_request& msg) {
  for (auto& [id, x] : fetches_)
    if (x.who && x.who->request == msg.request && x.who->term == msg.term)
      return let_in(x);
  return std::nullopt;
}

uint32_t block_courier::num_waiting() const {
  auto waits = [](auto& x) { return x.second.who.has_value(); };
  return static_cast<uint32_t>(std::ranges::count_if(fetches_, waits));
}

} // namespace troupe
