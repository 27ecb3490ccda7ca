#include "runtime/batching/batcher.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"
#include "runtime/sampling.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto block_tokens = kernels::latent_cache::block_tokens;

uint32_t num_blocks_for(uint32_t num_tokens) {
  return (num_tokens + block_tokens - 1) / block_tokens;
}

constexpr auto age_of = [](auto& x) { return x->age; };

} // namespace

uint32_t batcher::sequence::num_blocks_after(uint64_t more) const {
  // The last token that is sampled is never computed.
  auto most = request->prompt.size() + request->max_tokens - 1;
  return num_blocks_for(
    static_cast<uint32_t>(std::min<uint64_t>(most, num_tokens() + more)));
}

std::vector<int32_t> batcher::sequence::next_tokens(uint32_t count) const {
  std::span prompt{request->prompt};
  auto first = std::min<size_t>(num_computed, prompt.size());
  auto given = prompt.subspan(first,
                              std::min<size_t>(count, prompt.size() - first));
  auto made = std::span{answer}.subspan(num_computed - first,
                                        count - given.size());
  std::vector<int32_t> out;
  out.reserve(count);
  out.insert(out.end(), given.begin(), given.end());
  out.insert(out.end(), made.begin(), made.end());
  return out;
}

batcher::batcher(batcher_options options, kv_pool& pool)
  : options_(std::move(options)), pool_(pool) {
  // Whoever runs has a row in every step.
  CHECK(options_.max_num_seqs > 0);
  CHECK(options_.max_num_batched_tokens >= options_.max_num_seqs);
  CHECK(num_blocks_for(options_.max_model_len) <= pool.num_blocks());
  if (options_.num_choices == 0)
    options_.num_choices = options_.vocab_size;
}

batcher::~batcher() {
  for (auto& x : running_)
    release_blocks(*x);
}

void batcher::add(request_id id, uint32_t term,
                  std::shared_ptr<const generation_request> request,
                  std::span<const int32_t> answered) {
  auto num_prompt = request->prompt.size();
  CHECK(num_prompt > 0 && answered.size() < request->max_tokens);
  CHECK(num_prompt + request->max_tokens <= options_.max_model_len);
  auto x = std::make_shared<sequence>();
  x->id = id;
  x->term = term;
  x->age = next_age_++;
  x->answer.assign(answered.begin(), answered.end());
  x->forms = forms_of_prompt(num_prompt, request->segments);
  x->request = std::move(request);
  x->blocks = std::make_shared<kernels::block_table>();
  waiting_.push_back(std::move(x));
}

std::optional<batch_output> batcher::cancel(request_id id, uint32_t term) {
  auto has_id = [=](auto& x) {
    return x->id == id && x->term == term && !x->cancelled;
  };
  sequence_ptr found;
  if (auto i = std::ranges::find_if(waiting_, has_id); i != waiting_.end()) {
    found = *i;
    waiting_.erase(i);
  } else if (auto j = std::ranges::find_if(running_, has_id);
             j != running_.end()) {
    found = *j;
    found->cancelled = true;
    // Blocks in a running step are written to; end_step frees them.
    if (found->num_scheduled == 0 || PLANTED(block_freed_early))
      drop(found);
  } else {
    return std::nullopt;
  }
  batch_output out{id, found->term, {}};
  out.event.first_position = found->num_answered();
  out.event.finish = finish_reason::failed;
  out.event.cause = failure{errc::cancelled, "the request was cancelled"};
  return out;
}

// -- building a step ----------------------------------------------------------

batch batcher::next_step() {
  CHECK(!step_is_out());
  batch out;
  decode(out);
  prefill(out);
  return out;
}

/// One row each keeps everybody's stream alive.
void batcher::decode(batch& out) {
  // By index, since make_room may take the youngest away.
  for (size_t i = 0; i < running_.size(); ++i) {
    auto x = running_[i];
    if (x->num_missing() != 1 || !make_room(*x))
      continue;
    x->num_scheduled = 1;
    schedule(std::move(x), out);
  }
}

void batcher::prefill(batch& out) {
  auto room = options_.max_num_batched_tokens - out.num_rows();
  auto prompts = prefilling();
  for (size_t i = 0, left = room; i < prompts.size() && left == room; ++i)
    room -= give_rows(prompts[i], (room + 1) / 2);
  auto shortest_first = prompts;
  std::ranges::stable_sort(shortest_first, {},
                           [](auto& x) { return x->num_of_one_form(); });
  for (auto& x : shortest_first)
    room -= give_rows(x, room);
  // Neighbours of one form are one run.
  std::ranges::stable_sort(prompts, {}, [](auto& x) { return x->form(); });
  for (auto& x : prompts)
    if (x->num_scheduled > 0)
      schedule(std::move(x), out);
}

/// Those with more than one row to compute, and those who could be let in,
/// oldest first.
std::vector<batcher::sequence_ptr> batcher::prefilling() const {
  std::vector<sequence_ptr> out;
  // More than there are places: who does not fit may be passed.
  auto places = options_.max_num_seqs - running_.size();
  auto most = places > 0 ? places + options_.max_num_seqs : 0;
  for (size_t i = 0; i < waiting_.size() && i < most; ++i)
    out.push_back(waiting_[i]);
  for (auto& x : running_)
    if (x->num_scheduled == 0)
      out.push_back(x);
  std::ranges::sort(out, {}, age_of);
  return out;
}

/// Plans up to `most` rows more of `x`, which is let in if it waits. Returns
/// how many.
uint32_t batcher::give_rows(const sequence_ptr& x, uint32_t most) {
  auto n = std::min(x->num_of_one_form() - x->num_scheduled, most);
  if (n == 0 || (!x->running && !admit(x)))
    return 0;
  x->num_scheduled += n;
  return n;
}

/// Never at the cost of somebody who runs already.
bool batcher::admit(const sequence_ptr& x) {
  if (running_.size() == options_.max_num_seqs)
    return false;
  auto at = std::ranges::find(waiting_, x);
  auto older = std::ranges::subrange(waiting_.begin(), at);
  if (!std::ranges::all_of(older, [this](auto& y) { return may_be_passed(*y); })
      || num_blocks_to_admit(*x) > pool_.num_free())
    return false;
  CHECK(claim_blocks(*x));
  for (auto& y : older)
    ++y->num_passed;
  waiting_.erase(at);
  x->running = true;
  running_.insert(std::ranges::upper_bound(running_, x->age, {}, age_of), x);
  return true;
}

/// Blocks for all known tokens of `x`, and for what it and all who run write
/// until its prompt is computed and each has made block_tokens tokens more.
uint64_t batcher::num_blocks_to_admit(const sequence& x) const {
  uint64_t num_rows = x.num_missing();
  uint64_t num_runs = x.num_runs_missing();
  for (auto& y : running_)
    if (y->num_missing() > 1) {
      num_rows += y->num_missing();
      num_runs += y->num_runs_missing();
    }
  // Steps are full while there are prompts, but for those that end the run of
  // a form.
  auto rows_of_step = options_.max_num_batched_tokens - running_.size();
  auto num_steps = num_rows / rows_of_step + 1 + num_runs;
  uint64_t out = x.num_blocks_after(num_steps + block_tokens);
  for (auto& y : running_)
    out += y->num_blocks_after(num_steps + block_tokens) - y->blocks->size();
  return out;
}

bool batcher::may_be_passed(const sequence& x) const {
  return x.num_answered() == 0 && x.num_passed < options_.max_num_seqs;
}

/// Puts the rows that were planned into the step.
void batcher::schedule(sequence_ptr x, batch& out) {
  batch_rows rows;
  rows.tokens = x->next_tokens(x->num_scheduled);
  rows.first_position = x->num_computed;
  rows.form = PLANTED(form_of_the_step) && !out.sequences.empty()
                ? out.sequences.front().form
                : x->form();
  // A copy: the table may grow while the step is out.
  rows.blocks = std::make_shared<const kernels::block_table>(*x->blocks);
  if (x->num_scheduled == x->num_missing()) {
    rows.draw = draw_of(x->request->sampling, options_.num_choices,
                        PLANTED(sampled_by_place_in_step)
                          ? uint32_t(out.sequences.size())
                          : x->num_answered());
    rows.want_logits = x->request->want_logits;
  }
  out.sequences.push_back(std::move(rows));
  in_step_.push_back(std::move(x));
}

/// Claims the blocks of all known tokens.
bool batcher::claim_blocks(sequence& x) {
  auto need = num_blocks_for(x.num_tokens());
  if (need > x.blocks->size() + pool_.num_free())
    return false;
  while (x.blocks->size() < need)
    x.blocks->push_back(*pool_.take());
  return true;
}

/// Makes sure that `x` has its blocks, if need be at the cost of the youngest,
/// which may be itself: then it returns false.
bool batcher::make_room(sequence& x) {
  while (!claim_blocks(x)) {
    auto youngest = running_.back();
    CHECK(youngest->num_scheduled == 0);
    ++num_preemptions_;
    release_blocks(*youngest);
    if (!PLANTED(preempted_and_not_computed_again))
      youngest->num_computed = 0;
    if (PLANTED(answer_lost_at_preemption))
      youngest->answer.clear();
    youngest->running = false;
    running_.pop_back();
    waiting_.insert(
      std::ranges::upper_bound(waiting_, youngest->age, {}, age_of), youngest);
    if (youngest.get() == &x)
      return false;
  }
  return true;
}

void batcher::release_blocks(sequence& x) {
  for (auto block : *x.blocks)
    pool_.release(block);
  x.blocks->clear();
}

void batcher::drop(const sequence_ptr& x) {
  release_blocks(*x);
  std::erase(running_, x);
}

// -- ending a step ------------------------------------------------------------

std::vector<batch_output> batcher::end_step(step_result result) {
  std::vector<batch_output> out;
  auto token = result.tokens.begin();
  auto logits = result.logits.begin();
  for (auto& x : std::exchange(in_step_, {})) {
    x->num_computed += std::exchange(x->num_scheduled, 0);
    auto has_drawn = x->num_computed == x->num_tokens();
    auto wants = has_drawn && x->request->want_logits;
    CHECK(!has_drawn || token != result.tokens.end());
    CHECK(!wants || logits != result.logits.end());
    auto id = has_drawn ? *token++ : kernels::no_token;
    auto row = wants ? std::move(*logits++) : std::vector<float>{};
    if (x->cancelled) {
      if (PLANTED(cancel_forgets_blocks))
        std::erase(running_, x);
      else
        drop(x);
    } else if (has_drawn) {
      out.push_back(commit(*x, id, std::move(row)));
      if (out.back().event.finish != finish_reason::none)
        drop(x);
    }
  }
  CHECK(token == result.tokens.end() && logits == result.logits.end());
  return out;
}

batch_output batcher::commit(sequence& x, int32_t token,
                             std::vector<float> logits) {
  auto position = x.num_answered();
  batch_output out{x.id, x.term, {}};
  out.event.first_position = position;
  if (token == kernels::no_token) {
    ++num_without_choice_;
    out.event.finish = finish_reason::failed;
    out.event.cause = no_choice(position);
    return out;
  }
  out.event.finish = finish_of(x, token);
  if (out.event.finish != finish_reason::stop) {
    x.answer.push_back(token);
    out.event.tokens.push_back(token);
    out.event.logits = std::move(logits);
  }
  return out;
}

finish_reason batcher::finish_of(const sequence& x, int32_t token) const {
  auto& eos = options_.eos_token_ids;
  if (!x.request->ignore_eos && std::ranges::find(eos, token) != eos.end())
    return finish_reason::stop;
  return x.num_answered() + 1 == x.request->max_tokens ? finish_reason::length
                                                       : finish_reason::none;
}

std::vector<batch_output> batcher::fail_step(const failure& cause) {
  std::vector<batch_output> out;
  for (auto& x : std::exchange(in_step_, {})) {
    x->num_scheduled = 0;
    drop(x);
    if (x->cancelled || PLANTED(failed_step_ends_nobody))
      continue;
    batch_output output{x->id, x->term, {}};
    output.event.first_position = x->num_answered();
    output.event.finish = finish_reason::failed;
    output.event.cause = cause;
    out.push_back(std::move(output));
  }
  return out;
}

} // namespace troupe
