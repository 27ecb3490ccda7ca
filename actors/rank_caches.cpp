#include "actors/rank_caches.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr uint32_t share_that_waits = 8;

} // namespace

rank_caches::rank_caches(const keeper& to, const node_context& context,
                         std::shared_ptr<node_parts> parts)
  : to_(to), context_(context), parts_(std::move(parts)) {
}

rank_parts& rank_caches::rank(rank_id id) const {
  auto i = std::ranges::find(parts_->ranks, id, [](auto& x) { return x->id; });
  CHECK(i != parts_->ranks.end());
  return **i;
}

uint32_t rank_caches::most_waiting(rank_id id) const {
  return std::max(rank(id).pool->num_blocks() / share_that_waits, 1u);
}

void rank_caches::copy_out(block_copied then) const {
  auto& from = rank(then.rank);
  from.transfers->enqueue(kernels::copy_out{from.pool->block(then.block),
                                            then.bytes->data(), then.bytes});
  from.transfers->notify([to = to_, then = std::move(then)](auto& status) {
    auto msg = then;
    msg.ok = bool(status);
    to.tell(std::move(msg));
  });
}

void rank_caches::copy_in(const land_block& msg) const {
  auto& to = rank(msg.rank);
  to.transfers->enqueue(
    kernels::copy_in{msg.bytes->data(), to.pool->block(msg.block), msg.bytes});
  auto list = context_.here->read();
  if (auto i = list->schedulers.find(msg.rank); i != list->schedulers.end())
    to.transfers->notify([who = weak_handle{i->second}, msg](auto& ok) {
      who.tell(block_landed{msg.fetch, msg.index, bool(ok)});
    });
}

void rank_caches::tell_all() {
  for (auto& [id, msg] : std::exchange(let_go_, {}))
    tell_rank(id, msg);
}

} // namespace troupe
