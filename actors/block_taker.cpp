#include "actors/block_taker.hpp"

#include "actors/tell_rank.hpp"
#include "runtime/batching/chain_offer.hpp"
#include "runtime/batching/fetch_patience.hpp"

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// Requests whose blocks may be on their way or held; more are computed.
constexpr size_t max_visits = 256;

/// Requests of which it is known that they have come, the latest.
constexpr size_t max_begun = 1024;

/// So long blocks are held for a request of which nothing is heard: prompts
/// may wait for long before anybody computes them.
constexpr auto lease = 60s;

transfer_limits limits() {
  auto out = hand_over_limits();
  out.lease = lease;
  return out;
}

} // namespace

block_taker::block_taker(local_scheduler::pointer self,
                         const node_context& context,
                         std::shared_ptr<node_parts> parts, rank_parts& rank)
  : self_(self), context_(context), parts_(std::move(parts)), rank_(rank) {
}

bool block_taker::is_on() const {
  return rank_.handing != nullptr;
}

clock::instant block_taker::now() const {
  return self_->clock().now();
}

uint64_t block_taker::block_bytes() const {
  return rank_.pool->block_bytes();
}

block_taker::visits::iterator block_taker::find(request_id request) {
  return std::ranges::find_if(visits_, [=](auto& x) {
    return x.second.request == request && !x.second.is_closed;
  });
}

void block_taker::take(const offer_blocks& msg) {
  if (auto i = find(msg.of.request); i != visits_.end()) {
    i->second.heard = now();
    if (!is_new(msg, i->second))
      return; // it is to come still
    close(i->second, transfer_end::cancelled);
    forget_if_over(i);
  }
  auto& cluster = parts_->cluster;
  auto incarnation = msg.from < cluster.num_ranks()
                       ? process_of(context_, cluster.node_of_rank(msg.from))
                       : 0;
  if (incarnation == 0)
    return; // it is gone by now
  want_blocks wish{msg.from, rank_.id, msg.of.request, msg.of.term};
  if (!is_on() || visits_.size() >= max_visits || comes_late(msg))
    return tell_rank(context_, cluster, msg.from, wish); // for nothing
  visit x;
  x.request = msg.of.request;
  x.term = msg.of.term;
  x.num_answered = msg.of.answered.size();
  x.from = msg.from;
  x.incarnation = incarnation;
  x.heard = now();
  x.of = std::make_unique<chain_fetch>(*rank_.cache, msg.of.what,
                                       one_more(msg.of.answered));
  auto count = static_cast<uint32_t>(x.of->missing().size());
  x.of->expect(count);
  auto id = uint64_t{rank_.id} << 48 | ++last_;
  if (count > 0) {
    x.course = std::make_unique<transfer_target>(transfer_key{id, x.term},
                                                 count, transfer_writer::target,
                                                 limits(), now());
    x.course->reserve(count);
  }
  wish.transfer = id;
  wish.first = x.of->num_tokens_before() / kv_block::num_tokens;
  wish.count = count;
  tell_rank(context_, cluster, msg.from, wish);
  visits_[id] = std::move(x);
}

/// The request was here sooner than the word that it would be.
bool block_taker::comes_late(const offer_blocks& msg) const {
  auto i = begun_.find(msg.of.request);
  return i != begun_.end() && i->second > msg.of.term;
}

/// Of who goes on where it is there may be more than was asked for.
bool block_taker::is_new(const offer_blocks& msg, const visit& known) const {
  if (msg.of.term != known.term)
    return msg.of.term > known.term;
  return msg.of.answered.size() > known.num_answered && !known.who
         && has_come(known);
}

// -- what comes ---------------------------------------------------------------

block_taker::arrival block_taker::take(const piece_came& msg,
                                       uint32_t reserve) {
  auto i = visits_.find(msg.key.transfer);
  auto is_known = i != visits_.end() && i->second.course
                  && i->second.course->key() == msg.key
                  && i->second.incarnation == msg.incarnation;
  if (!is_known || i->second.is_closed) {
    if (msg.first % block_bytes() == 0)
      context_.counters->add(counter::handed_late);
    return std::nullopt;
  }
  auto& x = i->second;
  x.heard = now();
  if (x.first == clock::instant{})
    x.first = x.heard;
  auto chunk = msg.first / block_bytes();
  auto at = msg.first % block_bytes();
  if (chunk >= x.of->missing().size()
      || msg.bytes.bytes().size() > block_bytes() - at)
    return std::nullopt; // nobody who works as we do
  if (at == 0 && !block_for(x, uint32_t(chunk), reserve))
    return look_after(i);
  auto to = x.landings.find(uint32_t(chunk));
  if (to != x.landings.end() && to->second.num_bytes == at
      && !to->second.is_dropped)
    write(i->first, x, msg, uint32_t(chunk));
  return std::nullopt;
}

/// A block of the cache for a chunk of which the first bytes have come.
std::optional<uint32_t> block_taker::block_for(visit& x, uint32_t chunk,
                                               uint32_t reserve) {
  if (x.course->arrived(x.course->key(), chunk, true, now())
      != transfer_target::verdict::write)
    return std::nullopt;
  auto block = x.of->take(chunk, reserve);
  if (block)
    x.landings[chunk] = {*block, 0};
  else
    refuse(x, chunk);
  return block;
}

/// There is no room: of what comes behind it nothing is of use, and blocks that
/// have come in part come no further.
void block_taker::refuse(visit& x, uint32_t chunk) {
  x.course->finish(transfer_end::cancelled, now());
  drop_parts(x);
  x.course->landed(chunk, now());
  tell_rank(context_, parts_->cluster, x.from,
            block_taken{x.from, x.course->key(), chunk, false});
}

/// What has been copied there before may still be under way.
void block_taker::drop_parts(visit& x) {
  for (auto& [chunk, to] : x.landings)
    if (to.num_bytes < block_bytes() && !std::exchange(to.is_dropped, true))
      tell_landed(x.course->key().transfer, chunk, false);
}

void block_taker::write(uint64_t id, visit& x, const piece_came& msg,
                        uint32_t chunk) {
  auto& to = x.landings[chunk];
  auto bytes = msg.bytes.bytes();
  rank_.handing->enqueue(kernels::copy_in{
    bytes.data(), rank_.pool->block(to.block).slice(to.num_bytes, bytes.size()),
    msg.bytes.owner()});
  to.num_bytes += bytes.size();
  if (x.came == clock::instant{})
    to.num_early += bytes.size();
  if (to.num_bytes == block_bytes())
    tell_landed(id, chunk, true);
}

/// Once everything that was copied there is.
void block_taker::tell_landed(uint64_t id, uint32_t chunk, bool is_whole) {
  rank_.handing->notify([to = weak_handle{local_scheduler{self_}}, id, chunk,
                         is_whole](auto& status) {
    to.tell(piece_landed{id, chunk, is_whole && status});
  });
}

block_taker::arrival block_taker::take(const piece_landed& msg) {
  auto i = visits_.find(msg.transfer);
  CHECK(i != visits_.end()); // it is kept while it is written to
  auto& x = i->second;
  auto early = x.landings[msg.chunk].num_early;
  x.landings.erase(msg.chunk);
  x.course->landed(msg.chunk, now());
  x.of->land(msg.chunk, msg.ok);
  x.last = now();
  if (msg.ok) {
    context_.counters->add(counter::handed_blocks);
    context_.counters->add(counter::handed_bytes, block_bytes());
    context_.counters->add(counter::handed_early_bytes, early);
  }
  if (!x.is_closed)
    tell_rank(context_, parts_->cluster, x.from,
              block_taken{x.from, x.course->key(), msg.chunk, msg.ok});
  return look_after(i);
}

// -- who comes ----------------------------------------------------------------

/// Whether what its cache has of it is all that there will be.
bool block_taker::has_come(const visit& x) const {
  auto ended = !x.course || x.course->end() != transfer_end::none;
  return x.is_closed || (ended && x.landings.empty());
}

bool block_taker::begin(const run_request& msg, const estimate& seconds_for) {
  if (!is_on())
    return false;
  begun_[msg.request] = msg.term;
  if (begun_.size() > max_begun)
    begun_.erase(begun_.begin()); // ids grow
  auto i = find(msg.request);
  if (i == visits_.end())
    return false;
  auto& x = i->second;
  x.came = now();
  if (x.term >= msg.term || has_come(x)) {
    let_in(i);
    return false;
  }
  x.who = msg;
  auto done = x.of->num_tokens_before()
              + x.of->num_known() * kv_block::num_tokens;
  auto all = static_cast<uint32_t>(x.of->missing().size());
  auto left = (all - x.of->num_known()) * kv_block::num_tokens;
  auto seconds = seconds_for(done, left);
  patience_ = seconds == 0 ? least_patience : patience_for(seconds);
  overdue_ = {msg.request, msg.term};
  return true;
}

/// How much of what its blocks took was hidden behind their computation.
void block_taker::tell_of(const visit& x) const {
  auto ms = [](auto time) {
    return std::to_string(
             std::chrono::duration<double, std::milli>(time).count())
           + " ms";
  };
  if (context_.log->enabled(log_level::debug) && x.of->num_known() > 0
      && x.came != clock::instant{})
    context_.log->debug("request " + std::to_string(x.request) + ": "
                        + std::to_string(x.of->num_known())
                        + " blocks came from rank " + std::to_string(x.from)
                        + " in " + ms(x.last - x.first)
                        + ", and it waited for them for " + ms(now() - x.came));
}

/// It goes on with what has come.
block_taker::arrival block_taker::let_in(visits::iterator i) {
  auto out = std::exchange(i->second.who, std::nullopt);
  if (out) {
    auto waited = now() - i->second.came;
    context_.counters->add(
      counter::handed_wait_us,
      uint64_t(
        std::chrono::duration_cast<std::chrono::microseconds>(waited).count()));
  }
  tell_of(i->second);
  close(i->second, transfer_end::cancelled);
  forget_if_over(i);
  return out;
}

block_taker::arrival block_taker::look_after(visits::iterator i) {
  if (i->second.who && has_come(i->second))
    return let_in(i);
  forget_if_over(i);
  return std::nullopt;
}

/// What is being written to is kept until it is no more.
void block_taker::close(visit& x, transfer_end how) {
  if (std::exchange(x.is_closed, true))
    return;
  if (x.course && x.course->end() == transfer_end::none) {
    x.course->finish(how, now());
    tell_rank(context_, parts_->cluster, x.from,
              block_taken{x.from, x.course->key(), 0, false});
  }
  x.of->let_go();
  drop_parts(x);
}

void block_taker::forget_if_over(visits::iterator i) {
  if (i->second.is_closed && i->second.landings.empty())
    visits_.erase(i);
}

block_taker::arrival block_taker::take(const offer_ended& msg) {
  auto i = find(msg.request);
  return i != visits_.end() && i->second.term == msg.term ? let_in(i)
                                                          : std::nullopt;
}

block_taker::arrival block_taker::take(const wait_overdue& msg) {
  auto i = find(msg.request);
  auto waits = i != visits_.end() && i->second.who
               && i->second.who->term == msg.term;
  return waits ? let_in(i) : std::nullopt;
}

block_taker::arrival block_taker::cancel(const cancel_request& msg) {
  auto i = find(msg.request);
  if (i == visits_.end())
    return std::nullopt;
  auto& x = i->second;
  auto is_meant = x.who ? x.who->term == msg.term : x.term == msg.term;
  return is_meant ? let_in(i) : std::nullopt;
}

std::vector<run_request> block_taker::lose(const node_lost& msg) {
  std::vector<run_request> out;
  for (auto i = visits_.begin(); i != visits_.end();) {
    auto at = i++;
    auto& x = at->second;
    auto node = parts_->cluster.node_of_rank(x.from);
    if (node == msg.node && x.incarnation == msg.incarnation)
      if (auto who = let_in(at))
        out.push_back(std::move(*who));
  }
  return out;
}

void block_taker::check() {
  for (auto i = visits_.begin(); i != visits_.end();) {
    auto at = i++;
    auto& x = at->second;
    if (!x.who && now() >= x.heard + lease)
      let_in(at);
  }
}

uint32_t block_taker::num_waiting() const {
  auto waits = [](auto& x) { return x.second.who.has_value(); };
  return static_cast<uint32_t>(std::ranges::count_if(visits_, waits));
}

} // namespace troupe
