#include "runtime/grammar/vocabulary_walk.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Ids as bits.
size_t words_for(uint32_t num_ids) {
  return (size_t{num_ids} + 63) / 64;
}

} // namespace

vocabulary_walk::vocabulary_walk(std::shared_ptr<const grammar_program> program,
                                 std::shared_ptr<const vocabulary> words,
                                 size_t max_bytes, size_t max_work)
  : words_(std::move(words)), max_bytes_(max_bytes), max_work_(max_work),
    matcher_(std::move(program)) {
}

grammar_place vocabulary_walk::begin() {
  return {matcher_.state_of(matcher_.begin())};
}

vocabulary_walk::number vocabulary_walk::begin_at(const grammar_state& x,
                                                  uint64_t max_work) {
  matcher_.begin_count(max_work);
  matcher_.spend(x.size());
  return matcher_.number_of(x);
}

/// Forgets only here, so that numbers hold as long as one question takes.
void vocabulary_walk::end() {
  if (matcher_.num_bytes() > max_bytes_) {
    matcher_.forget();
    kept_groups_ = {};
  }
  num_bytes_.store(matcher_.num_bytes()
                     + kept_groups_.capacity() * sizeof(kept_groups),
                   std::memory_order_relaxed);
}

grammar_place vocabulary_walk::after(const grammar_place& x, int32_t token) {
  if (x.is_too_much)
    return x;
  auto at = begin_at(x.state, max_work_);
  auto text = words_->text_of(token);
  if (text.empty())
    at = grammar_matcher::dead;
  if (words_->is_mark(token)) {
    auto& marks = matcher_.program().marks;
    auto i = std::ranges::find(marks, text);
    at = i == marks.end()
           ? grammar_matcher::dead
           : matcher_.after_mark(at, static_cast<uint32_t>(i - marks.begin()));
  } else {
    for (auto c : text)
      at = matcher_.after(at, static_cast<uint8_t>(c));
  }
  grammar_place out{{}, matcher_.is_too_much()};
  if (!out.is_too_much)
    out.state = matcher_.state_of(at);
  end();
  return out;
}

grammar_state vocabulary_walk::alike(const grammar_state& x) {
  auto at = begin_at(x, max_work_);
  auto out = matcher_.state_of(matcher_.alike(at, words_->max_bytes()));
  end();
  return out;
}

vocabulary_walk::choice vocabulary_walk::allowed(const grammar_state& x) {
  choice out;
  out.bits.resize(words_for(words_->num_choices()));
  walk(begin_at(x, max_work_), &out.bits);
  out.is_too_much = matcher_.is_too_much();
  if (out.is_too_much)
    out.bits.assign(out.bits.size(), 0);
  end();
  return out;
}

grammar_outlook vocabulary_walk::outlook(const grammar_place& x) {
  using enum grammar_outlook;
  if (x.is_too_much)
    return too_much;
  auto any = walk(begin_at(x.state, max_work_), nullptr).any;
  end();
  if (matcher_.is_too_much())
    return too_much;
  return any ? tokens : nothing;
}

/// Passes over what lies below a beginning that the grammar does not go on
/// from, and over what lies below one after which nothing changes the state.
vocabulary_walk::reach vocabulary_walk::walk(number from, id_bits* to) {
  reach out{to};
  if (++walk_ == 0)
    kept_groups_.clear();
  walk_marks(from, out);
  auto nodes = words_->nodes();
  std::vector<number> path(size_t{words_->max_bytes()} + 1);
  path[0] = from;
  for (uint32_t i = 0; i < nodes.size() && (to || !out.any);) {
    matcher_.spend(to ? 0 : 1);
    auto& x = nodes[i];
    auto at = matcher_.after(path[x.depth], x.byte);
    if (matcher_.is_too_much())
      break;
    if (at == grammar_matcher::dead) {
      i = x.end;
      continue;
    }
    constexpr uint32_t many = 16;
    auto whole = to && x.end - i > many && (x.groups & ~groups_kept(at)) == 0;
    auto next = whole ? x.end : i + 1;
    allow(x.first_token, words_->tokens_before(next), out);
    path[x.depth + 1u] = at;
    i = next;
  }
  return out;
}

void vocabulary_walk::walk_marks(number from, reach& out) {
  auto& known = matcher_.program().marks;
  for (uint32_t i = 0; i < known.size(); ++i) {
    if (matcher_.after_mark(from, i) == grammar_matcher::dead)
      continue;
    for (auto& [text, id] : words_->marks()) {
      if (text != known[i])
        continue;
      out.any = true;
      if (out.to)
        (*out.to)[size_t(id) / 64] |= uint64_t{1} << (id % 64);
    }
  }
}

/// Tokens at places [first, end).
void vocabulary_walk::allow(uint32_t first, uint32_t end, reach& out) const {
  out.any = out.any || first < end;
  if (!out.to)
    return;
  for (auto id : words_->tokens().subspan(first, end - first))
    (*out.to)[size_t(id) / 64] |= uint64_t{1} << (id % 64);
}

/// Groups of bytes that leave the state as it is. Asked anew in each walk, so
/// that each counts the same.
uint16_t vocabulary_walk::groups_kept(number x) {
  if (kept_groups_.size() <= x)
    kept_groups_.resize(x + size_t{1});
  auto& known = kept_groups_[x];
  if (known.walk == walk_)
    return known.bits;
  unsigned changed = 0;
  for (unsigned byte = 0; byte < 256; ++byte)
    if (auto group = 1u << vocabulary::group_of(uint8_t(byte));
        (changed & group) == 0 && matcher_.after(x, uint8_t(byte)) != x)
      changed |= group;
  known = {walk_, static_cast<uint16_t>(~changed & 0xffff)};
  return known.bits;
}

} // namespace troupe
