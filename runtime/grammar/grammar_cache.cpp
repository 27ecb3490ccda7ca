#include "runtime/grammar/grammar_cache.hpp"

#include "runtime/digest.hpp"

#include <algorithm>
#include <bit>

namespace troupe {

namespace {

/// Masks that may wait to be made, with those that nobody waits for any more:
/// as many as requests, each of which waits for one.
constexpr size_t max_masks_waiting = 1 << 16;

/// Others' turn at the thread that compiles: of about their size, so that few
/// large ones do not hold up small ones.
uint64_t turn_of_size(const grammar_source& x) {
  return std::bit_width(x.text.size());
}

/// In turns with them.
constexpr uint64_t turn_of_freeing = 64;

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
    compile_thread_ = std::make_shared<turn_queue>(limits_.max_waiting);
    mask_thread_ = std::make_shared<turn_queue>(max_masks_waiting);
  }
  // A grammar that goes last may go on such a thread, which cannot end itself.
  auto to = [](const std::weak_ptr<turn_queue>& thread) {
    return [thread](uint64_t whose, std::function<bool()> job) {
      auto alive = thread.lock();
      return alive && alive->post(whose, std::move(job));
    };
  };
  work_beside(to(compile_thread_), to(mask_thread_));
}

void grammar_cache::work_beside(job_taker compiles, job_taker makes_masks) {
  std::lock_guard guard{mutex_};
  compiles_ = std::move(compiles);
  makes_masks_ = std::move(makes_masks);
}

/// Under the lock; `gone` is to be let go without it.
grammar_cache::order grammar_cache::found(const grammar_source& x, bool& is_new,
                                          entries& gone) {
  auto key = digest_of(x.text).low;
  auto has_it = [&](auto& y) { return y.key == key && *y.source == x; };
  auto i = std::ranges::find_if(by_use_, has_it);
  if (i == by_use_.end()) {
    i = by_use_.emplace(by_use_.begin());
    i->key = key;
    i->source = std::make_shared<const grammar_source>(x);
  } else {
    by_use_.splice(by_use_.begin(), by_use_, i);
  }
  auto out = i->done ? i->done : i->awaited.lock();
  is_new = !out;
  if (is_new) {
    i->awaited = out = std::make_shared<grammar_order>();
    out->source_ = i->source;
  }
  gone = shrink();
  return out;
}

size_t grammar_cache::bytes_of(const entry& x) {
  auto out = sizeof(x) + x.source->text.size();
  if (x.done && x.done->what_)
    out += (*x.done->what_)->num_bytes();
  return out;
}

/// Masks are made while a grammar is in use, so all are looked at each time.
grammar_cache::entries grammar_cache::shrink() {
  entries out;
  if (by_use_.size() > limits_.max_kept)
    out.splice(out.end(), by_use_, std::prev(by_use_.end()));
  size_t sum = 0;
  for (auto i = by_use_.begin(); i != by_use_.end();) {
    auto here = i++;
    sum += bytes_of(*here);
    if (sum > limits_.max_bytes && here != by_use_.begin())
      out.splice(out.end(), by_use_, here);
  }
  return out;
}

/// What takes long to free is freed beside.
void grammar_cache::let_go(entries x) {
  if (x.empty())
    return;
  job_taker beside;
  auto is_ordered = false; // one turn frees all
  {
    std::lock_guard guard{mutex_};
    beside = compiles_;
    is_ordered = !gone_.empty();
    gone_.splice(gone_.end(), x);
  }
  if (!beside || (!is_ordered && !beside(turn_of_freeing, [this] {
        free_gone();
        return true;
      })))
    free_gone();
}

void grammar_cache::free_gone() {
  entries freed; // without the lock
  std::lock_guard guard{mutex_};
  freed.swap(gone_);
}

std::shared_ptr<grammar_cache> grammar_cache::fresh() const {
  return std::make_shared<grammar_cache>(words_, limits_);
}

void grammar_cache::compile(const order& x) {
  auto program = compile_grammar(*x->source_);
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

void grammar_cache::end(const order& x,
                        result<std::shared_ptr<grammar_masks>> what,
                        bool is_kept) {
  std::vector<grammar_waker> wakers;
  {
    std::lock_guard guard{mutex_};
    if (x->is_done()) // somebody was faster
      return;
    x->what_ = std::move(what);
    counts_.compiled += is_kept;
    x->is_done_.store(true, std::memory_order_release);
    wakers.swap(x->wakers_);
    auto is_it = [&](auto& y) { return y.source == x->source_; };
    auto i = std::ranges::find_if(by_use_, is_it);
    if (i != by_use_.end() && i->awaited.lock() == x) {
      i->awaited.reset();
      i->done = is_kept ? x : nullptr;
    }
  }
  for (auto& wake : wakers)
    (*wake)();
}

result<std::shared_ptr<grammar_masks>>
grammar_cache::find(const grammar_source& x) {
  order out;
  entries gone;
  {
    std::lock_guard guard{mutex_};
    auto is_new = false;
    out = found(x, is_new, gone);
    counts_.found += out->is_done();
  }
  let_go(std::move(gone));
  if (!out->is_done())
    compile(out);
  return out->what();
}

std::shared_ptr<const grammar_order>
grammar_cache::ask(const grammar_source& x, const grammar_waker& wake) {
  order out;
  job_taker beside;
  entries gone;
  auto is_new = false;
  {
    std::lock_guard guard{mutex_};
    out = found(x, is_new, gone);
    beside = compiles_;
    counts_.found += out->is_done();
    if (!out->is_done() && beside)
      add_waker(out->wakers_, wake);
  }
  let_go(std::move(gone));
  if (out->is_done() || (beside && !is_new))
    return out;
  if (!beside) {
    compile(out);
    return out;
  }
  auto job = [this, to = std::weak_ptr{out}] {
    auto order = to.lock();
    if (!order || order->is_done()) // nobody waits for it any more
      return false;
    compile(order);
    return true;
  };
  if (!beside(turn_of_size(x), std::move(job)))
    end(out,
        failure{errc::overloaded,
                "too many grammars are being compiled: try again"},
        false);
  return out;
}

/// Under the lock.
grammar_cache::counts grammar_cache::counted_here() const {
  auto out = counts_;
  for (auto& x : by_use_)
    out.bytes += bytes_of(x);
  return out;
}

grammar_cache::counts grammar_cache::counted() const {
  std::lock_guard guard{mutex_};
  return counted_here();
}

grammar_cache::counts grammar_cache::growth() {
  std::lock_guard guard{mutex_};
  auto now = counted_here();
  auto before = std::exchange(told_, now);
  return {now.compiled - before.compiled, now.found - before.found,
          now.bytes - before.bytes};
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
