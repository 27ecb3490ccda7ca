#include "runtime/text/bpe.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <bit>

namespace troupe {

namespace {

/// For std::push_heap, whose top is the greatest.
bool later(const bpe::scratch::candidate& a, const bpe::scratch::candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

} // namespace

bpe::bpe(const std::array<int32_t, 256>& byte_ids,
         const std::vector<bpe_merge>& merges)
  : byte_ids_(byte_ids), slots_(std::bit_ceil(2 * merges.size() + 1)) {
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    auto& x = merges[rank];
    CHECK(x.left >= 0 && x.right >= 0 && x.merged >= 0);
    slots_[place_of(x.left, x.right)] = {x.left, x.right, x.merged, rank};
  }
}

/// Where the pair is, or the empty slot where it would be.
size_t bpe::place_of(int32_t left, int32_t right) const {
  auto key = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
  key *= 0x9E3779B97F4A7C15; // 2^64 / golden ratio
  auto place = (key ^ key >> 32) & (slots_.size() - 1);
  while (slots_[place].left >= 0
         && (slots_[place].left != left || slots_[place].right != right))
    place = (place + 1) & (slots_.size() - 1);
  return place;
}

const bpe::slot* bpe::find(int32_t left, int32_t right) const {
  auto& x = slots_[place_of(left, right)];
  return x.left < 0 ? nullptr : &x;
}

/// Puts the pair that begins at symbol `at` on the heap if it can merge.
void bpe::offer(scratch& memory, uint32_t at) const {
  auto& left = memory.symbols[at];
  if (left.next == none)
    return;
  auto x = find(left.id, memory.symbols[left.next].id);
  if (!x)
    return;
  memory.heap.push_back({x->rank, at, x->merged});
  std::push_heap(memory.heap.begin(), memory.heap.end(), later);
}

void bpe::begin(std::string_view piece, scratch& memory) const {
  auto size = static_cast<uint32_t>(piece.size());
  memory.heap.clear();
  memory.symbols.clear();
  for (uint32_t i = 0; i < size; ++i)
    memory.symbols.push_back({byte_ids_[static_cast<unsigned char>(piece[i])],
                              i == 0 ? none : i - 1,
                              i + 1 == size ? none : i + 1});
  for (uint32_t i = 0; i + 1 < size; ++i)
    if (auto x = find(memory.symbols[i].id, memory.symbols[i + 1].id))
      memory.heap.push_back({x->rank, i, x->merged});
  std::make_heap(memory.heap.begin(), memory.heap.end(), later);
}

void bpe::merge(scratch& memory, scratch::candidate best) const {
  auto& left = memory.symbols[best.at];
  if (left.id < 0 || left.next == none)
    return; // merged meanwhile
  auto& right = memory.symbols[left.next];
  auto x = find(left.id, right.id);
  if (!x || x->merged != best.merged)
    return; // another pair meanwhile
  left.id = best.merged;
  left.next = right.next;
  right.id = -1;
  if (left.next != none)
    memory.symbols[left.next].prev = best.at;
  if (left.prev != none)
    offer(memory, left.prev);
  offer(memory, best.at);
}

void bpe::encode(std::string_view piece, scratch& memory,
                 std::vector<int32_t>& ids) const {
  CHECK(piece.size() < none);
  if (piece.empty())
    return;
  begin(piece, memory);
  while (!memory.heap.empty()) {
    std::pop_heap(memory.heap.begin(), memory.heap.end(), later);
    auto best = memory.heap.back();
    memory.heap.pop_back();
    merge(memory, best);
  }
  for (uint32_t at = 0; at != none; at = memory.symbols[at].next)
    ids.push_back(memory.symbols[at].id);
}

} // namespace troupe
