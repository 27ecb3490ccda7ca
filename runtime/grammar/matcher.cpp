#include "runtime/grammar/matcher.hpp"

#include <algorithm>
#include <set>

namespace troupe {

using kind = grammar_step::kind;

/// Goes on from places until something has to be read.
class grammar_matcher::closure {
public:
  explicit closure(const grammar_program& program) : program_(program) {
  }

  /// Below are `x` without its top, which goes on at `place`.
  void add(stack below, frame place) {
    auto old = below.size();
    put({std::move(below), place, old});
    while (!open_.empty() && !too_many_) {
      auto x = std::move(open_.back());
      open_.pop_back();
      run(std::move(x));
    }
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
    if (seen_.insert(x).second)
      open_.push_back(std::move(x));
    too_many_ = too_many_ || seen_.size() > 8 * max_grammar_ways
                || found_.size() > max_grammar_ways;
  }

  void run(way x) {
    auto& step = program_.code[x.place.at];
    switch (step.what) {
      case kind::bytes:
      case kind::mark:
        x.below.push_back({x.place.at, 0});
        found_.insert(std::move(x.below));
        return;
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
    if (x.below.empty()) {
      found_.insert(stack{});
      return;
    }
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
  bool too_many_ = false;
};

grammar_matcher::grammar_matcher(std::shared_ptr<const grammar_program> program)
  : program_(std::move(program)) {
  forget();
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
    auto next = x.empty() ? dead : unknown;
    states_.push_back({&i->first,
                       std::vector<number>(program_->classes.size(), next),
                       !x.empty() && x.front() == 0});
    constexpr size_t of_nodes = 160; // of tables, and what allocations take
    num_bytes_ += (x.size() + program_->classes.size()) * sizeof(uint32_t)
                  + of_nodes;
  }
  return i->second;
}

template <class Takes>
grammar_state grammar_matcher::step(number x, const Takes& takes) const {
  closure all{*program_};
  auto& from = state_of(x);
  for (size_t i = 0; i < from.size(); i += 1 + 2 * size_t{from[i]}) {
    auto height = from[i];
    auto frames = from.data() + i + 1;
    if (height == 0 || !takes(program_->code[frames[2 * (height - 1)]]))
      continue;
    stack below;
    for (uint32_t j = 0; j + 1 < height; ++j)
      below.push_back({frames[2 * j], frames[2 * j + 1]});
    all.add(std::move(below),
            {program_->code[frames[2 * (height - 1)]].next, 0});
  }
  return all.result();
}

grammar_matcher::number grammar_matcher::find_next(number x, uint8_t which) {
  auto byte = program_->classes[which];
  auto next = number_of(step(x, [&](const grammar_step& y) {
    return y.what == kind::bytes && program_->sets[y.which][byte];
  }));
  states_[x].next[which] = next;
  return next;
}

grammar_matcher::number grammar_matcher::after_mark(number x, uint32_t mark) {
  return number_of(step(x, [&](const grammar_step& y) {
    return y.what == kind::mark && y.which == mark;
  }));
}

/// A loop has a round for each byte at most, so that those that are further
/// away do not matter.
grammar_matcher::number grammar_matcher::alike(number x, uint32_t length) {
  auto out = state_of(x);
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
    stacks.emplace(out.begin() + long(i), out.begin() + long(end));
  }
  out.clear();
  for (auto& y : stacks)
    out.insert(out.end(), y.begin(), y.end());
  return number_of(out);
}

} // namespace troupe
