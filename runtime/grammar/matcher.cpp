#include "runtime/grammar/matcher.hpp"

#include "runtime/digest.hpp"

#include <algorithm>
#include <set>

namespace troupe {

using kind = grammar_step::kind;

size_t grammar_state_hash::operator()(const grammar_state& x) const {
  return digest_of(std::as_bytes(std::span{x})).low;
}

/// Goes on from places until something has to be read.
class grammar_matcher::closure {
public:
  explicit closure(const grammar_program& program) : program_(program) {
  }

  /// Below are `x` without its top, which goes on at `place`.
  /// Returns false if it is too much: then there is no result.
  bool add(stack below, frame place) {
    auto old = below.size();
    put({std::move(below), place, old});
    while (!open_.empty() && !too_many_) {
      auto x = std::move(open_.back());
      open_.pop_back();
      run(std::move(x));
    }
    return !too_many_;
  }

  /// Frames that were looked at; no more than may be but for one stack.
  size_t cost() const {
    return cost_;
  }

  grammar_state result() const {
    grammar_state out;
    if (too_many_)
      return out;
    for (auto& x : found_) {
      out.push_back(static_cast<uint32_t>(x.size()));
      for (auto& y : x) {
        out.push_back(y.at);
        out.push_back(y.count);
      }
    }
    return out;
  }

private:
  struct way {
    stack below;
    frame place;
    size_t num_old; ///< Frames that were there before.
    friend auto operator<=>(const way&, const way&) = default;
  };

  void put(way x) {
    spend(x.below);
    if (seen_.insert(x).second)
      open_.push_back(std::move(x));
    too_many_ = too_many_ || seen_.size() > 8 * max_grammar_ways;
  }

  void find(stack x) {
    spend(x);
    found_.insert(std::move(x));
    too_many_ = too_many_ || found_.size() > max_grammar_ways;
  }

  void spend(const stack& x) {
    cost_ += x.size() + work_of_stack;
    too_many_ = too_many_ || cost_ > max_byte_work;
  }

  void run(way x) {
    auto& step = program_.code[x.place.at];
    switch (step.what) {
      case kind::bytes:
      case kind::mark:
        x.below.push_back({x.place.at, 0});
        return find(std::move(x.below));
      case kind::split:
        put({x.below, {step.other, 0}, x.num_old});
        return put({std::move(x.below), {step.next, 0}, x.num_old});
      case kind::call:
        if (program_.code[step.next].what != kind::end)
          return call(std::move(x), {step.next, 0}, step.other);
        return put({std::move(x.below), {step.other, 0}, x.num_old});
      case kind::loop:
        return loop(std::move(x), step);
      case kind::end:
        return end(std::move(x));
    }
  }

  void call(way x, frame back, uint32_t what) {
    if (x.below.size() + 1 >= max_grammar_depth)
      return;
    x.below.push_back(back);
    put({std::move(x.below), {what, 0}, x.num_old});
  }

  void loop(way x, const grammar_step& step) {
    auto count = x.place.count;
    if (count >= step.least)
      put({x.below, {step.next, 0}, x.num_old});
    if (count < step.most) { // without a limit, counted as far as it matters
      auto most = step.most == unlimited ? step.least : step.most;
      call(std::move(x), {x.place.at, std::min(count + 1, most)}, step.other);
    }
  }

  void end(way x) {
    if (x.below.empty())
      return find({});
    auto back = x.below.back();
    x.below.pop_back();
    // A round in which nothing was read changes nothing.
    if (x.below.size() >= x.num_old && program_.code[back.at].what == kind::loop
        && back.count > 0)
      return;
    auto old = std::min(x.num_old, x.below.size());
    put({std::move(x.below), back, old});
  }

  const grammar_program& program_;
  std::vector<way> open_;
  std::set<way> seen_;
  std::set<stack> found_;
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
  all.add({}, {program_->start, 0});
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
    if (!all.add(std::move(below),
                 {program_->code[frames[2 * (height - 1)]].next, 0}))
      break;
  }
  return {all.result(), all.cost() + looked};
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
