#include "actors/block_giver.hpp"

#include "actors/tell_rank.hpp"

namespace troupe {

namespace {

/// Offers at once; who comes then is computed again where it goes on.
constexpr size_t max_offers = 256;

/// So often an offer is repeated, lest nobody expects it any more: a prompt may
/// wait for long before it is computed.
constexpr std::chrono::seconds repeated_after{20};

} // namespace

block_giver::block_giver(local_scheduler::pointer self,
                         const node_context& context,
                         std::shared_ptr<node_parts> parts, rank_parts& rank,
                         copied_handler on_copied)
  : self_(self), context_(context), parts_(std::move(parts)), rank_(rank),
    on_copied_(std::move(on_copied)) {
  if (is_on())
    rank_.leaving->set_on_free(
      [to = weak_handle{local_scheduler{self}}] { to.tell(buffer_freed{}); });
}

bool block_giver::is_on() const {
  return rank_.leaving != nullptr;
}

clock::instant block_giver::now() const {
  return self_->clock().now();
}

node_id block_giver::node_of(const offer& x) const {
  return parts_->cluster.node_of_rank(x.to);
}

void block_giver::begin(const run_request& msg) {
  if (!is_on() || !msg.next || offers_.size() >= max_offers
      || *msg.next >= parts_->cluster.num_ranks())
    return;
  if (auto i = offers_.find(msg.request); i != offers_.end()) {
    i->second.is_computed = true;
    if (i->second.course && i->second.course->num_read() > 0)
      return; // its blocks are being read: who goes on now computes
    offers_.erase(i);
  }
  auto x = offer_of(msg);
  if (x.chain->num_blocks() == 0 || x.incarnation == 0)
    return;
  tell(x);
  offers_[msg.request] = std::move(x);
}

block_giver::offer block_giver::offer_of(const run_request& msg) const {
  offer x;
  x.term = msg.term;
  x.to = *msg.next;
  x.what = msg;
  x.chain = std::make_unique<chain_offer>(*rank_.cache, msg.what, msg.answered);
  x.incarnation = process_of(context_, node_of(x));
  return x;
}

void block_giver::move(const run_request& what) {
  request_copied answer{what.request, what.term, *what.next, false};
  auto known = offers_.find(what.request);
  auto is_free = known == offers_.end() || !known->second.chain;
  if (is_free && known != offers_.end())
    offers_.erase(known);
  if (!is_on() || !is_free || *what.next >= parts_->cluster.num_ranks()
      || offers_.size() >= max_offers)
    return on_copied_(answer);
  auto x = offer_of(what);
  auto num_known = x.chain->look();
  // The last one may be full with the next step. Without others it waits here.
  auto is_known = num_known + 1 >= x.chain->num_blocks();
  answer.ok = x.incarnation != 0 && is_known;
  if (!answer.ok || num_known == 0)
    return on_copied_(answer);
  x.is_move = true;
  x.is_awaited = true;
  tell(x);
  offers_[what.request] = std::move(x);
}

void block_giver::tell_copied(request_id request, offer& x) {
  if (!std::exchange(x.is_awaited, false))
    return;
  auto ok = x.has_all || x.course->end() == transfer_end::completed;
  if (!ok) { // whoever has some of it waits for no more
    tell_rank(context_, parts_->cluster, x.to,
              offer_ended{x.to, request, x.term});
    x.is_computed = true;
  }
  on_copied_({request, x.term, x.to, ok});
}

void block_giver::tell(offer& x) {
  x.since = now();
  tell_rank(context_, parts_->cluster, x.to,
            offer_blocks{x.to, rank_.id, x.what});
}

void block_giver::take(const want_blocks& msg) {
  auto i = offers_.find(msg.request);
  if (i == offers_.end())
    return;
  auto& x = i->second;
  if (msg.term != x.term || msg.by != x.to || x.course)
    return;
  if (msg.count == 0) {
    x.has_all = msg.transfer != 0; // else it takes nothing
    finish(x, transfer_end::cancelled);
    forget_if_over(i);
    return;
  }
  auto all = x.chain->num_blocks();
  if (msg.first >= all || msg.count > all - msg.first)
    return; // nobody who works as we do
  x.first = msg.first;
  x.count = msg.count;
  x.course = std::make_unique<transfer_source>(
    transfer_key{msg.transfer, msg.term}, msg.count, rank_.pool->block_bytes(),
    hand_over_limits(), now());
  x.course->grant(x.course->key(), msg.count, now());
  look();
  grow(x);
  send();
}

void block_giver::take(const block_taken& msg) {
  for (auto i = offers_.begin(); i != offers_.end(); ++i) {
    auto& x = i->second;
    if (!x.course || x.course->key() != msg.key)
      continue;
    if (msg.goes_on)
      x.course->landed(msg.key, msg.chunk, now());
    else
      x.course->finish(transfer_end::cancelled);
    forget_if_over(i);
    return send();
  }
}

// -- what is computed ---------------------------------------------------------

void block_giver::begin_step(run_step& to, const batcher& of) {
  auto lane = to.what->lane;
  written_[lane] = 0;
  if (!offers_.empty())
    of.for_each_in(lane, [&](auto& x, auto first, auto count) {
      to.tells_layers = note(lane, x, first, count, to.behind)
                        || to.tells_layers;
    });
}

/// Whether those rows fill blocks that others may want.
bool block_giver::note(uint8_t lane, const sequence& of, uint32_t first,
                       uint32_t count, kernels::event& behind) {
  auto i = offers_.find(of.id);
  auto is_offered = i != offers_.end() && i->second.term == of.term
                    && i->second.chain && !i->second.is_move;
  if (!is_offered || !rank_.cache->is_on())
    return false;
  auto& x = i->second;
  auto begin = first / block_content::num_tokens;
  auto end = std::min((first + count) / block_content::num_tokens,
                      x.chain->num_blocks());
  for (auto j = begin; j < end; ++j)
    x.filled[j] = {of.blocks->at(j), lane};
  // Of a step that was abandoned.
  if (x.chain->is_lent_from(begin))
    behind = rank_.handing->record();
  return begin < end;
}

void block_giver::take(const layers_written& msg) {
  written_[msg.lane] = msg.end;
  for (auto& [request, x] : offers_)
    grow(x);
  send();
}

/// The last bytes of a block are for when it can be found.
uint64_t block_giver::bytes_written(uint8_t lane) const {
  auto& pool = *rank_.pool;
  auto last = pool.bytes_of_layers(1) / block_content::num_tokens;
  return std::min(pool.bytes_of_layers(written_[lane]),
                  pool.block_bytes() - last);
}

void block_giver::grow(offer& x) {
  for (auto& [i, of] : x.filled)
    if (x.course && i >= x.first && i - x.first < x.count)
      x.course->grow(i - x.first, bytes_written(of.lane));
}

void block_giver::end_step(uint8_t lane) {
  look();
  for (auto& offered : offers_)
    std::erase_if(offered.second.filled, [&x = offered.second, lane](auto& of) {
      auto& [i, what] = of;
      auto is_over = what.lane == lane;
      if (is_over && x.course && i >= x.first && i - x.first < x.count)
        x.course->withdraw(i - x.first);
      return is_over;
    });
  send();
}

/// For what has become known.
void block_giver::look() {
  for (auto& [request, x] : offers_) {
    if (!x.chain)
      continue;
    auto known = x.chain->look();
    known -= std::min(known, x.first);
    if (x.course)
      x.course->make_ready(std::min(known, x.count), now());
  }
}

// -- what leaves --------------------------------------------------------------

/// One piece of each in turn; what is early when nobody has anything whole, for
/// which somebody may wait.
void block_giver::send() {
  if (!is_on() || offers_.empty())
    return;
  for (auto early : {false, true})
    for (auto any = true; any;) {
      any = false;
      for (auto& [request, x] : offers_) {
        auto bytes = rank_.leaving->take();
        if (!bytes)
          return; // it says when there is
        any = send_next(request, x, bytes, early) || any;
      }
    }
}

/// Whether there was anything to send.
bool block_giver::send_next(request_id request, offer& x,
                            kernels::host_ptr& bytes, bool early) {
  auto piece = x.course ? x.course->next(now(), early) : std::nullopt;
  if (piece)
    copy_out(request, x, *piece, std::move(bytes));
  return piece.has_value();
}

void block_giver::copy_out(request_id request, const offer& x,
                           const transfer_piece& piece,
                           kernels::host_ptr bytes) {
  auto i = x.first + piece.chunk;
  if (i >= x.chain->num_known())
    x.chain->lend(i, x.filled.at(i).block);
  auto block = i < x.chain->num_known() ? x.chain->block(i)
                                        : x.filled.at(i).block;
  auto from = rank_.pool->block(block).slice(piece.first, piece.count);
  rank_.handing->enqueue(kernels::copy_out{from, bytes->data(), bytes});
  rank_.handing->notify([to = weak_handle{local_scheduler{self_}}, request,
                         key = x.course->key(), piece, bytes](auto& status) {
    to.tell(block_left{request, key, piece, bytes, bool(status)});
  });
}

void block_giver::take(const block_left& msg) {
  auto i = offers_.find(msg.request);
  CHECK(i != offers_.end() && i->second.course); // it is kept while it is read
  auto& x = i->second;
  CHECK(x.course->key() == msg.key);
  x.course->sent(msg.piece.chunk);
  x.chain->give_back(x.first + msg.piece.chunk);
  if (!msg.ok)
    x.course->finish(transfer_end::failed);
  if (x.course->end() == transfer_end::none)
    send(x, msg.piece, msg.bytes);
  forget_if_over(i);
  send(); // there may be more of it
}

/// In frames that others need not wait for long.
void block_giver::send(const offer& x, const transfer_piece& piece,
                       const kernels::host_ptr& bytes) {
  std::span all{bytes->data(), piece.count};
  for (uint64_t at = 0; at < all.size(); at += max_bulk_bytes) {
    frame_header header;
    header.kind = frame_class::bulk;
    header.destination = x.incarnation;
    header.id = x.course->key().transfer;
    header.step = x.course->key().generation;
    header.first = piece.chunk * rank_.pool->block_bytes() + piece.first + at;
    auto size = std::min<uint64_t>(all.size() - at, max_bulk_bytes);
    context_.net->send(node_of(x), header, {bytes, all.subspan(at, size)});
  }
}

// -- ends ---------------------------------------------------------------------

void block_giver::end(request_id request, uint32_t term, bool is_passed_on) {
  auto i = offers_.find(request);
  if (i == offers_.end() || i->second.term != term)
    return;
  if (is_passed_on) {
    look(); // its last ones have become known
    send();
  }
  auto& x = i->second;
  x.is_computed = true;
  x.since = now();
  if (!is_passed_on) {
    if (!x.is_awaited) // else with the end of that
      tell_rank(context_, parts_->cluster, x.to,
                offer_ended{x.to, request, x.term});
    finish(x, transfer_end::cancelled);
  }
  forget_if_over(i);
}

bool block_giver::end_moves(
  const std::function<bool(request_id, uint32_t)>& runs) {
  auto any = false;
  for (auto i = offers_.begin(); i != offers_.end();) {
    auto& x = i->second;
    auto has_ended = x.course && x.course->end() != transfer_end::none;
    if (x.is_awaited && !has_ended && !runs(i->first, x.term)) {
      finish(x, transfer_end::cancelled);
      any = true;
    }
    i = forget_if_over(i);
  }
  return any;
}

void block_giver::finish(offer& x, transfer_end how) {
  if (!x.course) // nobody has asked, and nobody is to
    x.course = std::make_unique<transfer_source>(transfer_key{}, 1, 1,
                                                 hand_over_limits(), now());
  x.course->finish(how);
}

void block_giver::lose(const node_lost& msg) {
  for (auto i = offers_.begin(); i != offers_.end();) {
    if (node_of(i->second) == msg.node
        && i->second.incarnation == msg.incarnation)
      finish(i->second, transfer_end::target_gone);
    i = forget_if_over(i);
  }
}

void block_giver::check() {
  for (auto i = offers_.begin(); i != offers_.end();) {
    auto& x = i->second;
    auto is_of_use = !x.course || x.course->end() == transfer_end::none
                     || x.course->end() == transfer_end::completed;
    if (!x.is_computed && !x.is_move && is_of_use
        && now() >= x.since + repeated_after)
      tell(x);
    if (x.course)
      x.course->check_lease(now());
    else if ((x.is_computed || x.is_move)
             && now() >= x.since + hand_over_limits().lease)
      finish(x, transfer_end::expired);
    i = forget_if_over(i);
  }
  look();
  send();
}

/// Its blocks are held while they are read, and until its request has ended
/// here somebody holds what has come.
block_giver::offers::iterator block_giver::forget_if_over(offers::iterator i) {
  auto& x = i->second;
  auto is_over = x.course && x.course->end() != transfer_end::none
                 && x.course->num_read() == 0;
  if (is_over) {
    x.chain = nullptr;
    tell_copied(i->first, x);
  }
  return is_over && x.is_computed ? offers_.erase(i) : std::next(i);
}

} // namespace troupe
