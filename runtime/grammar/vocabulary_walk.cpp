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
                                 size_t max_bytes, size_t max_cost)
  : words_(std::move(words)), max_bytes_(max_bytes), max_cost_(max_cost),
    matcher_(std::move(program)) {
}

grammar_state vocabulary_walk::begin() {
  return matcher_.state_of(matcher_.begin());
}

/// Forgets only here, so that numbers hold as long as one question takes.
vocabulary_walk::number vocabulary_walk::number_of(const grammar_state& x) {
  if (matcher_.num_bytes() > max_bytes_) {
    matcher_.forget();
    kept_groups_.clear();
  }
  return matcher_.number_of(x);
}

void vocabulary_walk::tell_bytes() {
  num_bytes_.store(matcher_.num_bytes()
                     + kept_groups_.capacity() * sizeof(int32_t),
                   std::memory_order_relaxed);
}

grammar_state vocabulary_walk::after(const grammar_state& x, int32_t token) {
  auto at = number_of(x);
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
  tell_bytes();
  return matcher_.state_of(at);
}

grammar_state vocabulary_walk::alike(const grammar_state& x) {
  return matcher_.state_of(matcher_.alike(number_of(x), words_->max_bytes()));
}

id_bits vocabulary_walk::allowed(const grammar_state& x) {
  id_bits out(words_for(words_->num_choices()));
  if (walk(number_of(x), &out).too_much)
    out.assign(out.size(), 0);
  tell_bytes();
  return out;
}

bool vocabulary_walk::leads_on(const grammar_state& x) {
  auto out = walk(number_of(x), nullptr);
  tell_bytes();
  return out.any && !out.too_much;
}

/// Passes over what lies below a beginning that the grammar does not go on
/// from, and over what lies below one after which nothing changes the state.
/// Whether it takes too many steps depends on no table.
vocabulary_walk::reach vocabulary_walk::walk(number from, id_bits* to) {
  reach out{to};
  walk_marks(from, out);
  auto nodes = words_->nodes();
  std::vector<number> path(size_t{words_->max_bytes()} + 1);
  path[0] = from;
  std::vector<bool> seen;
  size_t cost = 0;
  for (uint32_t i = 0; i < nodes.size() && (to || !out.any);) {
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
      if (cost > max_cost_) {
        out.too_much = true;
        return out;
      }
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

/// Groups of bytes that leave the state as it is.
uint16_t vocabulary_walk::groups_kept(number x) {
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

} // namespace troupe
