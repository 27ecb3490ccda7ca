#include "runtime/grammar/matcher.hpp"

#include "runtime/digest.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace troupe {

using kind = grammar_step::kind;

size_t grammar_state_hash::operator()(const grammar_state& x) const {
  return digest_of(std::as_bytes(std::span{x})).low;
}

/// Goes on from places until something has to be read. Stacks are paths in a
/// tree, each of them there once, so that one more way costs no more where
/// stacks are high.
class grammar_matcher::closure {
public:
  explicit closure(const grammar_program& program) : program_(program) {
    tree_.emplace_back();
  }

  /// Below are frames of one stack, without its top, which goes on at `place`.
  /// Returns false if it is too much: then there is no result.
  template <class Frames>
  bool add(const Frames& below, frame place) {
    uint32_t at = bottom;
    for (auto& x : below)
      at = push(at, x);
    put({at, place, tree_[at].height});
    while (!open_.empty() && !too_many_) {
      auto x = open_.back();
      open_.pop_back();
      run(x);
    }
    return !too_many_;
  }

  /// Frames and stacks that were looked at; no more than may be but for one
  /// stack.
  size_t cost() const {
    return cost_;
  }

  grammar_state result() {
    grammar_state out;
    std::vector<stack> all;
    for (size_t i = 0; i < found_.size() && !too_many_; ++i)
      all.push_back(frames_of(found_[i]));
    if (too_many_)
      return out;
    std::ranges::sort(all);
    for (auto& x : all) {
      out.push_back(static_cast<uint32_t>(x.size()));
      for (auto& y : x) {
        out.push_back(y.at);
        out.push_back(y.count);
      }
    }
    return out;
  }

private:
  static constexpr uint32_t bottom = 0;
  static constexpr uint32_t none = UINT32_MAX;

  /// A stack: its top, and the stack below it.
  struct node {
    frame top = {};
    uint32_t below = none;
    uint32_t height = 0;
    uint32_t first_above = none;
    uint32_t next = none; ///< Above the same one.
    bool is_found = false;
  };

  struct way {
    uint32_t below = bottom;
    frame place;
    uint32_t num_old = 0; ///< Frames that were there before.
    friend auto operator<=>(const way&, const way&) = default;
  };

  void spend(size_t work) {
    cost_ += work;
    too_many_ = too_many_ || cost_ > max_byte_work;
  }

  uint32_t push(uint32_t below, frame top) {
    uint64_t looked = 1;
    auto i = tree_[below].first_above;
    for (; i != none && tree_[i].top != top; ++looked)
      i = tree_[i].next;
    spend(looked);
    if (i != none)
      return i;
    auto made = static_cast<uint32_t>(tree_.size());
    tree_.push_back({top, below, tree_[below].height + 1, none,
                     tree_[below].first_above, false});
    tree_[below].first_above = made;
    return made;
  }

  void put(way x) {
    spend(work_of_stack);
    if (seen_.insert(x).second)
      open_.push_back(x);
    too_many_ = too_many_ || seen_.size() > 8 * max_grammar_ways;
  }

  void find(uint32_t x) {
    spend(work_of_stack);
    if (!std::exchange(tree_[x].is_found, true))
      found_.push_back(x);
    too_many_ = too_many_ || found_.size() > max_grammar_ways;
  }

  stack frames_of(uint32_t x) {
    spend(tree_[x].height);
    stack out(tree_[x].height);
    for (auto i = out.rbegin(); i != out.rend(); ++i, x = tree_[x].below)
      *i = tree_[x].top;
    return out;
  }

  void run(const way& x) {
    auto& step = program_.code[x.place.at];
    switch (step.what) {
      case kind::bytes:
      case kind::mark:
        return find(push(x.below, {x.place.at, 0}));
      case kind::split:
        put({x.below, {step.other, 0}, x.num_old});
        return put({x.below, {step.next, 0}, x.num_old});
      case kind::call:
        if (program_.code[step.next].what != kind::end)
          return call(x, {step.next, 0}, step.other);
        return put({x.below, {step.other, 0}, x.num_old});
      case kind::loop:
        return loop(x, step);
      case kind::end:
        return end(x);
    }
  }

  void call(const way& x, frame back, uint32_t what) {
    if (tree_[x.below].height + 1 >= max_grammar_depth)
      return;
    put({push(x.below, back), {what, 0}, x.num_old});
  }

  void loop(const way& x, const grammar_step& step) {
    auto count = x.place.count;
    if (count >= step.least)
      put({x.below, {step.next, 0}, x.num_old});
    if (count < step.most) { // without a limit, counted as far as it matters
      auto most = step.most == unlimited ? step.least : step.most;
      call(x, {x.place.at, std::min(count + 1, most)}, step.other);
    }
  }

  void end(const way& x) {
    if (x.below == bottom)
      return find(bottom);
    auto back = tree_[x.below].top;
    auto below = tree_[x.below].below;
    auto height = tree_[below].height;
    // A round in which nothing was read changes nothing.
    if (height >= x.num_old && program_.code[back.at].what == kind::loop
        && back.count > 0)
      return;
    put({below, back, std::min(x.num_old, height)});
  }

  const grammar_program& program_;
  std::vector<node> tree_;
  std::vector<way> open_;
  std::set<way> seen_;
  std::vector<uint32_t> found_;
  size_t cost_ = 0;
  bool too_many_ = false;
};

grammar_matcher::grammar_matcher(std::shared_ptr<const grammar_program> program)
  : program_(std::move(program)) {
  forget();
}

void grammar_matcher::begin_count(uint64_t most) {
  if (++count_ == 0) { // no edge is to look as if it were of this one
    forget();
    count_ = 1;
  }
  work_ = 0;
  most_work_ = most;
}

void grammar_matcher::forget() {
  numbers_.clear();
  states_.clear();
  num_bytes_ = 0;
  number_of({});
}

grammar_matcher::number grammar_matcher::begin() {
  closure all{*program_};
  all.add(stack{}, {program_->start, 0});
  return number_of(all.result());
}

grammar_matcher::number grammar_matcher::number_of(const grammar_state& x) {
  auto [i, is_new] = numbers_.emplace(x, static_cast<number>(states_.size()));
  if (is_new) {
    states_.push_back({&i->first, {}, !x.empty() && x.front() == 0});
    constexpr size_t of_nodes = 160; // of tables, and what allocations take
    num_bytes_ += x.size() * sizeof(uint32_t) + of_nodes;
  }
  return i->second;
}

void grammar_matcher::add_row(known_state& to) {
  auto count = program_->classes.size();
  to.next.resize(count, {to.what->empty() ? dead : unknown});
  num_bytes_ += count * sizeof(edge);
}

template <class Takes>
grammar_matcher::stepped
grammar_matcher::step(number x, const Takes& takes) const {
  closure all{*program_};
  size_t looked = 0;
  auto& from = state_of(x);
  for (size_t i = 0; i < from.size(); i += 1 + 2 * size_t{from[i]}) {
    auto height = from[i];
    auto frames = from.data() + i + 1;
    ++looked;
    if (height == 0 || !takes(program_->code[frames[2 * (height - 1)]]))
      continue;
    stack below;
    for (uint32_t j = 0; j + 1 < height; ++j)
      below.push_back({frames[2 * j], frames[2 * j + 1]});
    if (!all.add(below, {program_->code[frames[2 * (height - 1)]].next, 0}))
      break;
  }
  auto to = all.result();
  return {std::move(to), all.cost() + looked};
}

grammar_matcher::number grammar_matcher::find_next(number x, uint8_t which) {
  if (is_too_much())
    return dead;
  if (states_[x].next.empty())
    add_row(states_[x]);
  if (states_[x].next[which].to == unknown) {
    auto byte = program_->classes[which];
    auto found = step(x, [&](const grammar_step& y) {
      return y.what == kind::bytes && program_->sets[y.which][byte];
    });
    auto to = number_of(found.to);
    auto cost = found.cost + (to == dead ? 0 : cost_of_row());
    states_[x].next[which] = {to, static_cast<uint32_t>(cost)};
  }
  auto& next = states_[x].next[which];
  next.counted = count_;
  spend(next.cost);
  return is_too_much() ? dead : next.to;
}

grammar_matcher::number grammar_matcher::after_mark(number x, uint32_t mark) {
  if (is_too_much())
    return dead;
  auto found = step(x, [&](const grammar_step& y) {
    return y.what == kind::mark && y.which == mark;
  });
  spend(found.cost);
  return is_too_much() ? dead : number_of(found.to);
}

/// A loop has a round for each byte at most, so that those that are further
/// away do not matter.
grammar_matcher::number grammar_matcher::alike(number x, uint32_t length) {
  auto& from = state_of(x);
  auto out = from;
  std::set<grammar_state> stacks;
  for (size_t i = 0; i < out.size(); i += 1 + 2 * size_t{out[i]}) {
    auto end = i + 1 + 2 * size_t{out[i]};
    for (auto j = i + 1; j < end; j += 2) {
      auto& of = program_->code[out[j]];
      auto& count = out[j + 1];
      if (of.what != kind::loop || of.most == unlimited)
        continue;
      if (count >= of.least && of.most - count > length)
        count = std::max(of.least, 1u);
      else if (uint64_t{count} + length + 1 < of.least)
        count = 1;
    }
  }
  if (out == from)
    return x;
  for (size_t i = 0; i < out.size(); i += 1 + 2 * size_t{out[i]})
    stacks.emplace(out.begin() + long(i),
                   out.begin() + long(i + 1 + 2 * size_t{out[i]}));
  out.clear();
  for (auto& y : stacks)
    out.insert(out.end(), y.begin(), y.end());
  return number_of(out);
}

} // namespace troupe
