#include "runtime/grammar/grammar_cache.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Masks that may wait to be made: one of each request.
constexpr size_t max_masks_waiting = 4096;

} // namespace

grammar_cache::grammar_cache(std::shared_ptr<const vocabulary> words,
                             const grammar_cache_limits& limits)
  : words_(std::move(words)), limits_(limits) {
}

grammar_cache::~grammar_cache() {
  for (auto& thread : {compile_thread_, mask_thread_})
    if (thread)
      thread->stop_now();
}

void grammar_cache::work_beside() {
  {
    std::lock_guard guard{mutex_};
    if (compile_thread_)
      return;
    compile_thread_ = std::make_shared<task_queue>(limits_.max_waiting);
    mask_thread_ = std::make_shared<task_queue>(max_masks_waiting);
  }
  // A grammar that goes last may go on such a thread, which cannot end itself.
  auto to = [](const std::weak_ptr<task_queue>& thread) {
    return [thread](std::function<void()> job) {
      auto alive = thread.lock();
      return alive && alive->post(1, std::move(job));
    };
  };
  work_beside(to(compile_thread_), to(mask_thread_));
}

void grammar_cache::work_beside(job_taker compiles, job_taker makes_masks) {
  std::lock_guard guard{mutex_};
  compiles_ = std::move(compiles);
  makes_masks_ = std::move(makes_masks);
}

/// Null if it is not there. Under the lock.
grammar_cache::order grammar_cache::known(const grammar_source& x) {
  auto has_it = [&](auto& y) { return y->source_ == x; };
  auto i = std::ranges::find_if(by_use_, has_it);
  if (i == by_use_.end())
    return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, i);
  auto out = *i;
  shrink();
  return out;
}

/// Under the lock.
grammar_cache::order grammar_cache::begin(const grammar_source& x) {
  auto made = std::make_shared<grammar_order>();
  made->source_ = x;
  by_use_.push_front(made);
  shrink();
  return made;
}

size_t grammar_cache::bytes_of(const grammar_order& x) {
  auto out = sizeof(x) + x.source_.text.size();
  if (x.is_done() && x.what_)
    out += (*x.what_)->num_bytes();
  return out;
}

/// Masks are made while a grammar is in use, so all are looked at each time.
void grammar_cache::shrink() {
  if (by_use_.size() > limits_.max_kept)
    by_use_.pop_back();
  size_t sum = 0;
  for (auto i = by_use_.begin(); i != by_use_.end();) {
    sum += bytes_of(**i);
    if (sum > limits_.max_bytes && i != by_use_.begin())
      i = by_use_.erase(i);
    else
      ++i;
  }
}

void grammar_cache::compile(grammar_order& x) {
  auto program = compile_grammar(x.source_);
  if (!program)
    return end(x, program.why());
  job_taker beside;
  {
    std::lock_guard guard{mutex_};
    beside = makes_masks_;
  }
  end(x, std::make_shared<grammar_masks>(*program, words_, limits_.of_each,
                                         std::move(beside)));
}

void grammar_cache::end(grammar_order& x,
                        result<std::shared_ptr<grammar_masks>> what) {
  std::vector<std::function<void()>> wakes;
  {
    std::lock_guard guard{mutex_};
    if (x.is_done()) // somebody was faster
      return;
    x.what_ = std::move(what);
    ++counts_.compiled;
    x.is_done_.store(true, std::memory_order_release);
    wakes.swap(x.wakes_);
  }
  for (auto& wake : wakes)
    wake();
}

result<std::shared_ptr<grammar_masks>>
grammar_cache::find(const grammar_source& x) {
  order found;
  {
    std::lock_guard guard{mutex_};
    found = known(x);
    counts_.found += found && found->is_done();
    if (!found)
      found = begin(x);
  }
  if (!found->is_done())
    compile(*found);
  return found->what();
}

std::shared_ptr<const grammar_order>
grammar_cache::ask(const grammar_source& x, const std::function<void()>& wake) {
  order found;
  job_taker beside;
  {
    std::lock_guard guard{mutex_};
    found = known(x);
    beside = compiles_;
    if (found && found->is_done()) {
      ++counts_.found;
      return found;
    }
    auto is_new = !found;
    if (is_new)
      found = begin(x);
    if (beside)
      found->wakes_.push_back(wake);
    if (beside && !is_new)
      return found;
  }
  if (!beside) {
    compile(*found);
    return found;
  }
  if (beside([this, found] { compile(*found); }))
    return found;
  {
    std::lock_guard guard{mutex_};
    std::erase(by_use_, found); // whoever comes later tries again
  }
  end(*found, failure{errc::overloaded,
                      "too many grammars are being compiled: try again"});
  return found;
}

grammar_cache::counts grammar_cache::counted() const {
  std::lock_guard guard{mutex_};
  auto out = counts_;
  for (auto& x : by_use_)
    out.bytes += bytes_of(*x);
  return out;
}

failure no_texts_of_tokens() {
  return {errc::invalid_input,
          "the model has no tokenizer.json, which a grammar needs"};
}

failure of_the_grammar(const failure& x) {
  return {x.code, "the grammar: " + x.message};
}

result<std::shared_ptr<grammar_masks>>
grammar_of(const generation_request& request, grammar_cache* from) {
  auto& source = request.grammar;
  if (source.kind == grammar_kind::none)
    return std::shared_ptr<grammar_masks>{};
  if (!from)
    return no_texts_of_tokens();
  auto found = from->find(source);
  if (!found)
    return of_the_grammar(found.why());
  return found;
}

} // namespace troupe
