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

grammar_masks::followed grammar_masks::follow(const place& x,
                                              std::span<const int32_t> tokens) {
  std::lock_guard guard{following_};
  followed out{x};
  auto at = *x;
  while (out.count < tokens.size() && out.work <= limits_.max_step_work / 8) {
    at = follower_.after(at, tokens[out.count++]);
    out.work += follower_.work();
  }
  out.at = std::make_shared<const grammar_place>(std::move(at));
  return out;
}

grammar_outlook grammar_masks::outlook(const place& x, uint64_t& work) {
  std::lock_guard guard{following_};
  auto out = follower_.outlook(*x);
  work += follower_.work();
  return out;
}

size_t grammar_masks::bytes_of(const grammar_state& key, const entry& x) const {
  constexpr size_t of_nodes = 96; // of tables, and what allocations take
  return sizeof(entry) + of_nodes + key.size() * sizeof(key[0])
         + (x.made ? mask_bytes_ : 0);
}

/// Under the lock; what is returned is to be freed without it. Who was given
/// one that goes has it nevertheless.
grammar_masks::dropped grammar_masks::shrink() {
  dropped out;
  while (by_use_.size() > 1 && kept_bytes_ > limits_.max_mask_bytes) {
    auto i = masks_.find(*by_use_.back());
    kept_bytes_ -= bytes_of(i->first, i->second);
    by_use_.pop_back();
    out.push_back(masks_.extract(i));
  }
  return out;
}

/// What is kept of places like `x`, of which `key` is the one.
grammar_masks::slot grammar_masks::slot_for(const place& x,
                                            grammar_state& key) {
  {
    std::lock_guard guard{following_};
    key = follower_.alike(x->state);
  }
  dropped gone; // behind the lock
  std::lock_guard guard{keeping_};
  ++counts_.asked;
  auto [i, is_new] = masks_.try_emplace(key);
  auto& kept = i->second;
  if (is_new) {
    kept.at = by_use_.insert(by_use_.begin(), &i->first);
    kept_bytes_ += bytes_of(key, kept);
  } else {
    by_use_.splice(by_use_.begin(), by_use_, kept.at);
  }
  auto out = kept.made ? kept.made : kept.awaited.lock();
  if (!out)
    kept.awaited = out = std::make_shared<token_mask>();
  gone = shrink();
  return out;
}

void grammar_masks::make(const grammar_state& key, const slot& to) {
  std::unique_lock guard{making_};
  if (to->is_made())
    return;
  auto found = maker_.allowed(key);
  auto any = std::ranges::any_of(found.bits, [](auto x) { return x != 0; });
  auto bits = std::make_shared<const id_bits>(std::move(found.bits));
  std::vector<grammar_waker> wakers;
  dropped gone;
  {
    std::lock_guard also{keeping_};
    if (to->is_made()) // it was refused
      return;
    ++counts_.made;
    to->any_ = any;
    to->allowed_ = std::move(bits);
    if (found.is_too_much)
      to->trouble_ = mask_trouble::too_much;
    to->is_made_.store(true, std::memory_order_release);
    wakers.swap(to->wakers_);
    if (auto i = masks_.find(key);
        i != masks_.end() && i->second.awaited.lock() == to) {
      i->second.awaited.reset();
      i->second.made = to;
      kept_bytes_ += mask_bytes_;
    }
    gone = shrink();
  }
  guard.unlock();
  for (auto& wake : wakers)
    (*wake)();
}

/// Whoever comes later tries again.
void grammar_masks::refuse(const grammar_state& key, token_mask& to) {
  std::vector<grammar_waker> wakers;
  {
    std::lock_guard guard{keeping_};
    if (to.is_made())
      return;
    if (auto i = masks_.find(key); i != masks_.end())
      i->second.awaited.reset();
    to.trouble_ = mask_trouble::overloaded;
    to.allowed_ = std::make_shared<const id_bits>(mask_bytes_ / 8);
    to.is_made_.store(true, std::memory_order_release);
    wakers.swap(to.wakers_);
  }
  for (auto& wake : wakers)
    (*wake)();
}

grammar_masks::mask grammar_masks::mask_of(const place& x) {
  auto found = ask(x, nullptr);
  return {found->allowed(), found->any()};
}

std::shared_ptr<const token_mask>
grammar_masks::ask(const place& x, const grammar_waker& wake) {
  grammar_state key;
  auto found = slot_for(x, key);
  if (!wake || !beside_) {
    if (!found->is_made())
      make(key, found);
    return found;
  }
  {
    std::lock_guard guard{keeping_};
    if (found->is_made())
      return found;
    add_waker(found->wakers_, wake);
    if (std::exchange(found->is_ordered_, true))
      return found;
  }
  auto whose = reinterpret_cast<uintptr_t>(this);
  auto job = [of = weak_from_this(), key, to = std::weak_ptr{found}] {
    auto self = of.lock();
    auto mask = to.lock();
    if (!self || !mask || mask->is_made()) // nobody waits for it any more
      return false;
    self->make(key, mask);
    return true;
  };
  if (!beside_(whose, std::move(job)))
    refuse(key, *found);
  return found;
}

grammar_masks::counts grammar_masks::counted() const {
  std::lock_guard guard{keeping_};
  return counts_;
}

size_t grammar_masks::num_bytes() const {
  std::lock_guard guard{keeping_};
  return program_bytes_ + follower_.num_bytes() + maker_.num_bytes()
         + kept_bytes_;
}

void add_waker(std::vector<grammar_waker>& to, const grammar_waker& x) {
  if (std::ranges::find(to, x) == to.end())
    to.push_back(x);
}

} // namespace troupe
