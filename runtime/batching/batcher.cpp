#include "runtime/batching/batcher.hpp"

#include "kernels/check.hpp"
#include "runtime/sampling.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto block_tokens = kernels::latent_cache::block_tokens;

uint32_t num_blocks_for(uint32_t num_tokens) {
  return (num_tokens + block_tokens - 1) / block_tokens;
}

} // namespace

batcher::batcher(batcher_options options, kv_pool& pool)
  : options_(std::move(options)), pool_(pool) {
  CHECK(options_.max_num_seqs > 0 && options_.max_num_batched_tokens > 0);
  CHECK(num_blocks_for(options_.max_model_len) <= pool.num_blocks());
  if (options_.num_choices == 0)
    options_.num_choices = options_.vocab_size;
}

batcher::~batcher() {
  for (auto& x : running_)
    release_blocks(*x);
}

bool batcher::fits(const generation_request& request) const {
  auto is_known = [this](int32_t token) {
    return token >= 0 && uint32_t(token) < options_.vocab_size;
  };
  return !request.prompt.empty() && request.max_tokens > 0
         && request.prompt.size() + request.max_tokens <= options_.max_model_len
         && std::ranges::all_of(request.prompt, is_known);
}

void batcher::add(request_id id, uint32_t term, generation_request request) {
  CHECK(fits(request));
  auto x = std::make_shared<sequence>();
  x->id = id;
  x->term = term;
  x->tokens = request.prompt;
  x->request = std::move(request);
  x->blocks = std::make_shared<kernels::block_table>();
  waiting_.push_back(std::move(x));
}

std::optional<batch_output> batcher::cancel(request_id id) {
  auto has_id = [id](auto& x) { return x->id == id && !x->cancelled; };
  sequence_ptr found;
  if (auto i = std::ranges::find_if(waiting_, has_id); i != waiting_.end()) {
    found = *i;
    waiting_.erase(i);
  } else if (auto j = std::ranges::find_if(running_, has_id);
             j != running_.end()) {
    found = *j;
    found->cancelled = true;
    // Blocks in a running step are written to; end_step frees them.
    if (found->num_scheduled == 0)
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
  // Decoding first: one row each keeps everybody's stream alive.
  auto before = waiting_.size();
  schedule_running(out, [](uint32_t missing) { return missing == 1; });
  schedule_running(out, [](uint32_t missing) { return missing > 1; });
  // Whoever has just given blocks back is not to take them again at once.
  if (waiting_.size() == before)
    admit_waiting(out);
  return out;
}

template <class Predicate>
void batcher::schedule_running(batch& out, Predicate wanted) {
  // By index, since make_room may take the youngest away.
  for (size_t i = 0; i < running_.size(); ++i) {
    auto x = running_[i];
    auto missing = static_cast<uint32_t>(x->tokens.size()) - x->num_computed;
    auto room = options_.max_num_batched_tokens - out.num_rows();
    if (room == 0)
      return;
    if (x->num_scheduled > 0 || !wanted(missing))
      continue;
    auto n = std::min(x->num_of_one_form(), room);
    if (make_room(*x, x->num_computed + n))
      schedule(x, n, out);
  }
}

void batcher::admit_waiting(batch& out) {
  while (!waiting_.empty() && running_.size() < options_.max_num_seqs) {
    auto room = options_.max_num_batched_tokens - out.num_rows();
    auto x = waiting_.front();
    auto n = std::min(x->num_of_one_form(), room);
    // Never at the cost of somebody who runs already.
    if (room == 0 || !claim_blocks(*x, n))
      return;
    waiting_.pop_front();
    running_.push_back(x);
    schedule(x, n, out);
  }
}

void batcher::schedule(sequence_ptr x, uint32_t num_rows, batch& out) {
  auto first = x->tokens.begin() + x->num_computed;
  batch_rows rows;
  rows.tokens.assign(first, first + num_rows);
  rows.first_position = x->num_computed;
  rows.form = x->form();
  // A copy: the table may grow while the step is out.
  rows.blocks = std::make_shared<const kernels::block_table>(*x->blocks);
  rows.want_logits = x->num_computed + num_rows == x->tokens.size();
  x->num_scheduled = num_rows;
  out.sequences.push_back(std::move(rows));
  in_step_.push_back(std::move(x));
}

bool batcher::claim_blocks(sequence& x, uint32_t num_tokens) {
  auto need = num_blocks_for(num_tokens);
  if (need > x.blocks->size() + pool_.num_free())
    return false;
  while (x.blocks->size() < need)
    x.blocks->push_back(*pool_.take());
  return true;
}

bool batcher::make_room(sequence& x, uint32_t num_tokens) {
  while (!claim_blocks(x, num_tokens)) {
    auto youngest = running_.back();
    if (youngest->num_scheduled > 0)
      return false; // it is in this step already; x waits for the next one
    release_blocks(*youngest);
    youngest->num_computed = 0;
    running_.pop_back();
    waiting_.push_front(youngest);
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

std::vector<batch_output> batcher::end_step(std::span<const float> logits) {
  std::vector<batch_output> out;
  auto step = std::exchange(in_step_, {});
  for (auto& x : step) {
    x->num_computed += std::exchange(x->num_scheduled, 0);
    auto at_end = x->num_computed == x->tokens.size();
    auto row = logits.first(at_end ? options_.vocab_size : 0);
    logits = logits.subspan(row.size());
    if (x->cancelled)
      drop(x);
    else if (at_end)
      if (auto output = commit(*x, row)) {
        if (output->event.finish != finish_reason::none)
          drop(x);
        out.push_back(std::move(*output));
      }
  }
  CHECK(logits.empty());
  return out;
}

std::optional<batch_output> batcher::commit(sequence& x,
                                            std::span<const float> logits) {
  auto position = x.num_answered();
  auto token = sample(logits, options_.num_choices, x.request.sampling,
                      position);
  batch_output out{x.id, x.term, {}};
  out.event.first_position = position;
  if (!token) {
    ++num_without_choice_;
    out.event.finish = finish_reason::failed;
    out.event.cause = no_choice(position);
    return out;
  }
  out.event.finish = finish_of(x, *token);
  if (out.event.finish != finish_reason::stop) {
    x.tokens.push_back(*token);
    out.event.tokens.push_back(*token);
    if (x.request.want_logits)
      out.event.logits.assign(logits.begin(), logits.end());
  }
  return out;
}

finish_reason batcher::finish_of(const sequence& x, int32_t token) const {
  auto& eos = options_.eos_token_ids;
  if (!x.request.ignore_eos && std::ranges::find(eos, token) != eos.end())
    return finish_reason::stop;
  return x.num_answered() + 1 == x.request.max_tokens ? finish_reason::length
                                                      : finish_reason::none;
}

std::vector<batch_output> batcher::fail_step(const failure& cause) {
  std::vector<batch_output> out;
  for (auto& x : std::exchange(in_step_, {})) {
    x->num_scheduled = 0;
    drop(x);
    if (x->cancelled)
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
