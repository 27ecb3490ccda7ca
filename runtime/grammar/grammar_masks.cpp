#include "runtime/grammar/grammar_masks.hpp"

#include <algorithm>

namespace troupe {

grammar_masks::grammar_masks(std::shared_ptr<const grammar_program> program,
                             std::shared_ptr<const vocabulary> words,
                             const grammar_limits& limits, job_taker beside)
  : limits_(limits), mask_bytes_((words->num_choices() + 63) / 64 * 8),
    program_bytes_(program->num_bytes()), beside_(std::move(beside)),
    follower_(program, words, limits.max_state_bytes, limits.max_step_work),
    maker_(program, words, limits.max_state_bytes, limits.max_mask_work) {
}

grammar_masks::place grammar_masks::begin() {
  std::lock_guard guard{following_};
  return std::make_shared<const grammar_place>(follower_.begin());
}

grammar_masks::place grammar_masks::after(const place& x, int32_t token) {
  std::lock_guard guard{following_};
  return std::make_shared<const grammar_place>(follower_.after(*x, token));
}

grammar_outlook grammar_masks::outlook(const place& x) {
  std::lock_guard guard{following_};
  return follower_.outlook(*x);
}

/// What is kept of places like `x`, of which `key` is the one.
grammar_masks::slot grammar_masks::slot_for(const place& x,
                                            grammar_state& key) {
  {
    std::lock_guard guard{following_};
    key = follower_.alike(x->state);
  }
  std::lock_guard guard{keeping_};
  ++counts_.asked;
  if (auto i = masks_.find(key); i != masks_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, i->second);
    return i->second->second;
  }
  auto made = std::make_shared<token_mask>();
  by_use_.emplace_front(key, made);
  masks_.emplace(key, by_use_.begin());
  // Who was given one that goes has it nevertheless.
  if (by_use_.size() > 1
      && by_use_.size() * mask_bytes_ > limits_.max_mask_bytes) {
    masks_.erase(by_use_.back().first);
    by_use_.pop_back();
  }
  return made;
}

void grammar_masks::make(const grammar_state& key, token_mask& to) {
  std::unique_lock guard{making_};
  if (to.is_made())
    return;
  auto found = maker_.allowed(key);
  to.any_ = std::ranges::any_of(found.bits, [](auto x) { return x != 0; });
  to.is_too_much_ = found.is_too_much;
  to.allowed_ = std::make_shared<const id_bits>(std::move(found.bits));
  std::vector<std::function<void()>> wakes;
  {
    std::lock_guard also{keeping_};
    ++counts_.made;
    to.is_made_.store(true, std::memory_order_release);
    wakes.swap(to.wakes_);
  }
  guard.unlock();
  for (auto& wake : wakes)
    wake();
}

grammar_masks::mask grammar_masks::mask_of(const place& x) {
  grammar_state key;
  auto found = slot_for(x, key);
  if (!found->is_made())
    make(key, *found);
  return {found->allowed(), found->any()};
}

std::shared_ptr<const token_mask>
grammar_masks::ask(const place& x, const std::function<void()>& wake) {
  grammar_state key;
  auto found = slot_for(x, key);
  if (found->is_made())
    return found;
  auto is_made_here = !wake || !beside_;
  {
    std::lock_guard guard{keeping_};
    if (found->is_made())
      return found;
    if (!is_made_here) {
      found->wakes_.push_back(wake);
      if (std::exchange(found->is_ordered_, true))
        return found;
    }
  }
  auto job = [self = shared_from_this(), key, found] {
    self->make(key, *found);
  };
  if (is_made_here || !beside_(std::move(job)))
    make(key, *found);
  return found;
}

grammar_masks::counts grammar_masks::counted() const {
  std::lock_guard guard{keeping_};
  return counts_;
}

size_t grammar_masks::num_bytes() const {
  std::lock_guard guard{keeping_};
  return program_bytes_ + follower_.num_bytes() + maker_.num_bytes()
         + by_use_.size() * mask_bytes_;
}

} // namespace troupe
