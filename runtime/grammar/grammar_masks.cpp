#include "runtime/grammar/grammar_masks.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Ids as bits.
size_t words_for(uint32_t num_ids) {
  return (size_t{num_ids} + 63) / 64;
}

} // namespace

grammar_masks::grammar_masks(std::shared_ptr<const grammar_program> program,
                             std::shared_ptr<const vocabulary> words,
                             const grammar_limits& limits)
  : words_(std::move(words)), limits_(limits), matcher_(std::move(program)) {
}

grammar_masks::place grammar_masks::begin() {
  std::lock_guard guard{mutex_};
  return std::make_shared<const grammar_state>(
    matcher_.state_of(matcher_.begin()));
}

/// Forgets only here, so that numbers hold while a lock does.
grammar_masks::number grammar_masks::number_of(const place& x) {
  if (matcher_.num_states() > limits_.max_states) {
    matcher_.forget();
    kept_groups_.clear();
  }
  return matcher_.number_of(*x);
}

grammar_masks::place grammar_masks::after(const place& x, int32_t token) {
  std::lock_guard guard{mutex_};
  auto at = number_of(x);
  auto text = words_->text_of(token);
  auto is_mark = words_->is_mark(token);
  if (text.empty())
    at = grammar_matcher::dead;
  if (is_mark) {
    auto& marks = matcher_.program().marks;
    auto i = std::ranges::find(marks, text);
    at = i == marks.end()
           ? grammar_matcher::dead
           : matcher_.after_mark(at, static_cast<uint32_t>(i - marks.begin()));
  } else {
    for (auto c : text)
      at = matcher_.after(at, static_cast<uint8_t>(c));
  }
  return std::make_shared<const grammar_state>(matcher_.state_of(at));
}

grammar_masks::mask grammar_masks::mask_of(const place& x) {
  std::lock_guard guard{mutex_};
  ++counts_.asked;
  auto at = matcher_.alike(number_of(x), words_->max_bytes());
  auto& what = matcher_.state_of(at);
  if (auto i = masks_.find(what); i != masks_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, i->second);
    return i->second->second;
  }
  ++counts_.made;
  auto key = what;
  auto made = make_mask(at);
  by_use_.emplace_front(key, made);
  masks_.emplace(std::move(key), by_use_.begin());
  auto bytes = words_for(words_->num_choices()) * sizeof(uint64_t);
  if (by_use_.size() > 1 && by_use_.size() * bytes > limits_.max_mask_bytes) {
    masks_.erase(by_use_.back().first);
    by_use_.pop_back();
  }
  return made;
}

grammar_masks::mask grammar_masks::make_mask(number from) {
  id_bits bits(words_for(words_->num_choices()));
  walk(from, bits);
  walk_marks(from, bits);
  auto any = std::ranges::any_of(bits, [](auto x) { return x != 0; });
  return {std::make_shared<const id_bits>(std::move(bits)), any};
}

/// Passes over what lies below a beginning that the grammar does not go on
/// from, and over what lies below one after which nothing changes the state. A
/// grammar that takes too many steps allows nothing: whether it does depends
/// on no table.
void grammar_masks::walk(number from, id_bits& to) {
  auto nodes = words_->nodes();
  std::vector<number> path(size_t{words_->max_bytes()} + 1);
  path[0] = from;
  std::vector<bool> seen;
  size_t cost = 0;
  for (uint32_t i = 0; i < nodes.size();) {
    auto& x = nodes[i];
    auto at = matcher_.after(path[x.depth], x.byte);
    if (at == grammar_matcher::dead) {
      i = x.end;
      continue;
    }
    if (seen.size() <= at)
      seen.resize(at + size_t{1});
    if (!seen[at]) {
      seen[at] = true;
      cost += matcher_.state_of(at).size();
      if (cost > limits_.max_walk)
        return to.assign(to.size(), 0);
    }
    constexpr uint32_t many = 16;
    auto whole = x.end - i > many && (x.groups & ~groups_kept(at)) == 0;
    auto next = whole ? x.end : i + 1;
    allow(x.first_token, words_->tokens_before(next), to);
    path[x.depth + 1u] = at;
    i = next;
  }
}

void grammar_masks::walk_marks(number from, id_bits& to) {
  auto& known = matcher_.program().marks;
  for (uint32_t i = 0; i < known.size(); ++i) {
    if (matcher_.after_mark(from, i) == grammar_matcher::dead)
      continue;
    for (auto& [text, id] : words_->marks())
      if (text == known[i])
        to[size_t(id) / 64] |= uint64_t{1} << (id % 64);
  }
}

/// Tokens at places [first, end).
void grammar_masks::allow(uint32_t first, uint32_t end, id_bits& to) const {
  for (auto id : words_->tokens().subspan(first, end - first))
    to[size_t(id) / 64] |= uint64_t{1} << (id % 64);
}

/// Groups of bytes that leave the state as it is.
uint16_t grammar_masks::groups_kept(number x) {
  if (kept_groups_.size() <= x)
    kept_groups_.resize(x + size_t{1}, -1);
  auto known = kept_groups_[x];
  if (known < 0) {
    unsigned changed = 0;
    for (unsigned byte = 0; byte < 256; ++byte)
      if (auto group = 1u << vocabulary::group_of(uint8_t(byte));
          (changed & group) == 0 && matcher_.after(x, uint8_t(byte)) != x)
        changed |= group;
    known = static_cast<int32_t>(~changed & 0xffff);
    kept_groups_[x] = known;
  }
  return static_cast<uint16_t>(known);
}

grammar_masks::counts grammar_masks::counted() const {
  std::lock_guard guard{mutex_};
  return counts_;
}

} // namespace troupe
