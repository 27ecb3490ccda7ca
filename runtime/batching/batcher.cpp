#include "runtime/batching/batcher.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto block_tokens = kernels::latent_cache::block_tokens;

constexpr auto its_turn = [](auto& x) { return x->turn; };

} // namespace

batcher::batcher(batcher_options options, prefix_cache& cache)
  : options_(std::move(options)), cache_(cache) {
  CHECK(options_.max_num_seqs > 0);
  CHECK(options_.num_lanes > 0 && options_.num_lanes <= in_step_.size());
  // Whoever runs has a row in a step.
  CHECK(options_.max_num_running >= options_.max_num_seqs);
  CHECK(options_.max_num_batched_tokens >= options_.max_num_running);
  CHECK(num_blocks_for(options_.max_model_len) <= cache.num_blocks());
  if (options_.num_choices == 0)
    options_.num_choices = options_.vocab_size;
}

batcher::~batcher() {
  for (auto& x : running_)
    release_blocks(cache_, *x);
}

void batcher::add(request_id id, uint32_t term,
                  std::shared_ptr<const generation_request> request,
                  std::span<const int32_t> answered,
                  std::shared_ptr<grammar_masks> grammar) {
  auto num_prompt = request->prompt.size();
  CHECK(num_prompt > 0 && answered.size() < request->max_tokens);
  CHECK(num_prompt + request->max_tokens <= options_.max_model_len);
  auto x = std::make_shared<sequence>();
  x->id = id;
  x->term = term;
  x->turn = turn_of(next_age_++, request->priority);
  x->answer.assign(answered.begin(), answered.end());
  x->forms = forms_of_prompt(num_prompt, request->segments);
  x->request = std::move(request);
  x->grammar = std::move(grammar);
  begin_draws(*x);
  join_line(std::move(x));
}

void batcher::begin_draws(sequence& x) const {
  x.draws.emplace(*x.request, options_.num_choices, options_.eos_token_ids,
                  x.grammar, options_.when_ready);
}

std::optional<batch_output> batcher::cancel(request_id id, uint32_t term) {
  auto has_id = [=](auto& x) {
    return x->id == id && x->term == term && !x->over;
  };
  sequence_ptr found;
  if (auto i = std::ranges::find_if(waiting_, has_id); i != waiting_.end()) {
    found = *i;
    waiting_.erase(i);
  } else if (auto j = std::ranges::find_if(running_, has_id);
             j != running_.end()) {
    found = *j;
    retire(found);
  } else {
    return std::nullopt;
  }
  return cancelled(found->id, found->term, found->num_told());
}

// -- building a step ----------------------------------------------------------

std::optional<planned_step> batcher::next_step(uint32_t num_lanes,
                                               double max_cost) {
  CHECK(num_lanes > 0 && num_lanes <= options_.num_lanes);
  if (num_out() >= num_lanes)
    return std::nullopt;
  planned_step out;
  out.lane = *free_lane();
  looked_ = 0;
  limit_ = max_cost;
  max_cost_ = anybody_decodes() ? max_cost : no_limit;
  auto num_steps = num_lanes - num_out();
  decode(out, num_lanes);
  prefill(out, num_lanes, num_steps);
  if (out.rows.sequences.empty())
    return std::nullopt;
  return out;
}

std::optional<uint8_t> batcher::free_lane() const {
  for (uint8_t i = 0; i < options_.num_lanes; ++i)
    if (in_step_[i].empty())
      return i;
  return std::nullopt;
}

uint32_t batcher::num_rows_out() const {
  uint32_t out = 0;
  for (auto& parts : in_step_)
    for (auto& x : parts)
      out += x.count;
  return out;
}

uint32_t batcher::num_rows_at_hand() const {
  uint64_t out = num_rows_out();
  for (auto& x : running_)
    out += x->over ? 0 : x->num_missing();
  for (auto i = waiting_.begin();
       i != waiting_.end() && out < options_.max_num_batched_tokens; ++i)
    out += (*i)->num_missing();
  return static_cast<uint32_t>(
    std::min<uint64_t>(out, options_.max_num_batched_tokens));
}

bool batcher::has_prompts() const {
  auto is_one = [](auto& x) { return !x->over && x->num_missing() > 1; };
  return (!waiting_.empty() && !is_full_)
         || std::ranges::any_of(running_, is_one);
}

/// One row each keeps everybody's stream alive: in as many steps as there are
/// lanes, so a step takes its share of those who decode, and who is left out
/// goes first in the next.
void batcher::decode(planned_step& out, uint32_t num_lanes) {
  std::vector<sequence_ptr> all;
  double total = 0;
  for (auto& x : running_) {
    if (x->decodes() && rows_ready(*x, 1) > 0)
      all.push_back(x);
    if (x->decodes() || (x->num_missing() == 0 && !x->over))
      total += cost_of_next(*x);
  }
  std::ranges::stable_sort(all, {}, [](auto& x) { return !x->was_left_out; });
  auto room = std::min(options_.max_num_seqs,
                       options_.max_num_batched_tokens - num_rows_out());
  double taken = 0;
  for (auto& x : all) {
    auto cost = cost_of_next(*x);
    auto fits = num_lanes == 1 || taken == 0
                || taken + cost / 2 <= total / num_lanes;
    x->was_left_out = !fits || room == 0;
    // make_room may have taken it away.
    if (x->was_left_out || !x->decodes())
      continue;
    x->was_left_out = !make_room(*x);
    if (x->was_left_out)
      continue;
    x->num_planned = 1;
    taken += cost;
    --room;
    schedule(x, out);
  }
}

/// `num_steps` more can begin now, with this one.
void batcher::prefill(planned_step& out, uint32_t num_lanes,
                      uint32_t num_steps) {
  auto num_decoding = out.rows.num_rows();
  auto of_step = std::max(options_.max_num_batched_tokens / num_lanes,
                          num_decoding);
  allowance left;
  left.rows = std::min(of_step - num_decoding,
                       options_.max_num_batched_tokens - num_rows_out());
  left.sequences = options_.max_num_seqs - num_decoding;
  auto prompts = prefilling();
  left.cost = share_of(prompts, left.rows, num_steps);
  // One row costs whatever it does.
  left.cost = std::max(std::min(left.cost, max_cost_ - out.cost),
                       std::numeric_limits<double>::min());
  auto num_waiting = waiting_.size();
  auto of_others = left.cost == no_limit ? 0 : left.cost / 2;
  left.cost -= of_others;
  for (size_t i = 0, given = 0; i < prompts.size() && given == 0; ++i)
    given = give_rows(prompts[i], (left.rows + 1) / 2, left);
  left.cost += of_others;
  auto shortest_first = prompts;
  std::ranges::stable_sort(shortest_first, {},
                           [](auto& x) { return x->num_of_one_form(); });
  for (auto& x : shortest_first)
    give_rows(x, left.rows, left);
  is_full_ = num_waiting > 0 && waiting_.size() == num_waiting;
  // Neighbours of one form are one run.
  std::ranges::stable_sort(prompts, {}, [](auto& x) { return x->form(); });
  for (auto& x : prompts)
    if (x->num_planned > 0)
      schedule(x, out);
}

/// Those with more than one row to compute, and those who could be let in,
/// oldest first.
std::vector<batcher::sequence_ptr> batcher::prefilling() const {
  std::vector<sequence_ptr> out;
  // More than there are places: who does not fit may be passed.
  auto places = options_.max_num_running - running_.size();
  auto most = places > 0 ? places + options_.max_num_seqs : 0;
  for (size_t i = 0; i < waiting_.size() && i < most; ++i)
    out.push_back(waiting_[i]);
  for (auto& x : running_)
    if (x->may_go_on() && x->num_missing() > 1)
      out.push_back(x);
  std::ranges::sort(out, {}, its_turn);
  return out;
}

/// What the prompt rows of this step may cost, if those of `num_steps` steps,
/// each with room for `room`, are to cost the same.
double batcher::share_of(const std::vector<sequence_ptr>& prompts,
                         uint32_t room, uint32_t num_steps) const {
  if (num_steps == 1)
    return no_limit;
  uint64_t rows = uint64_t{room} * num_steps;
  double cost = 0;
  for (auto& x : prompts) {
    auto n
      = static_cast<uint32_t>(std::min<uint64_t>(x->num_of_one_form(), rows));
    cost += options_.cost.of(x->next(), n);
    rows -= n;
  }
  return cost / num_steps;
}

/// Plans up to `most` rows more of `x`, which is let in if it waits. Returns
/// how many.
uint32_t batcher::give_rows(const sequence_ptr& x, uint32_t most,
                            allowance& left) {
  auto is_new = x->num_planned == 0;
  if (most == 0 || left.cost <= 0 || (is_new && left.sequences == 0)
      || (!x->running && !admit(x)))
    return 0;
  auto first = x->next() + x->num_planned;
  auto n = std::min(x->num_of_one_form() - x->num_planned, most);
  n = n > 0 ? rows_ready(*x, n) : 0;
  if (n == 0)
    return 0;
  n = std::max(options_.cost.rows_within(first, n, left.cost),
               left.is_whole ? 1u : 0u); // whatever it costs
  left.is_whole = false;
  left.cost -= options_.cost.of(first, n);
  left.rows -= n;
  left.sequences -= is_new && n > 0 ? 1 : 0;
  x->num_planned += n;
  return n;
}

/// Never at the cost of somebody who runs already.
bool batcher::admit(const sequence_ptr& x) {
  if (running_.size() == options_.max_num_running)
    return false;
  auto at = std::ranges::find(waiting_, x);
  if (!std::all_of(waiting_.begin(), at,
                   [this](auto& y) { return may_be_passed(*y); }))
    return false;
  find_prefix(cache_, *x);
  auto& found = x->found;
  auto is_idle = [this](auto& y) { return cache_.is_idle(y.block); };
  auto num_idle = uint64_t(std::ranges::count_if(found, is_idle));
  auto was = std::exchange(x->num_computed,
                           uint32_t(found.size()) * block_tokens);
  if (PLANTED(preempted_and_not_computed_again))
    x->num_computed = std::max(x->num_computed, was);
  auto need = num_blocks_to_admit(*x) - found.size();
  if (need > cache_.num_available() - num_idle) {
    x->num_computed = was;
    return false;
  }
  if (looks_elsewhere(x)) {
    x->num_computed = was;
    return false;
  }
  num_looked_up_ += x->num_tokens();
  num_found_ += take_prefix(cache_, *x);
  CHECK(claim_blocks(cache_, *x));
  std::for_each(waiting_.begin(), at, [](auto& y) { ++y->num_passed; });
  waiting_.erase(at);
  x->running = true;
  running_.insert(std::ranges::upper_bound(running_, x->turn, {}, its_turn), x);
  return true;
}

/// Blocks for all known tokens of `x`, and for what it and all who run write
/// until its prompt is computed and each has made block_tokens tokens more.
uint64_t batcher::num_blocks_to_admit(const sequence& x) const {
  prefill_backlog missing;
  // Those who run now decode before its prompt has been computed.
  auto cost_of_step = running_.empty() ? max_cost_ : limit_;
  auto add = [&](const sequence& y) {
    missing.rows += y.num_missing();
    missing.runs += y.num_runs_missing();
    missing.cost += options_.cost.of(y.next(), y.num_missing());
  };
  add(x);
  for (auto& y : running_)
    if (y->num_missing() > 1)
      add(*y);
    else
      cost_of_step -= cost_of_next(*y);
  auto rows_of_step = options_.max_num_batched_tokens - running_.size();
  rows_of_step = std::max<uint64_t>(rows_of_step / options_.num_lanes, 1);
  auto num_steps = missing.num_steps(rows_of_step, cost_of_step);
  uint64_t out = x.num_blocks_after(num_steps + block_tokens);
  for (auto& y : running_)
    out += y->num_blocks_after(num_steps + block_tokens) - y->blocks->size();
  return out;
}

/// Puts the rows that were planned into the step.
void batcher::schedule(const sequence_ptr& x, planned_step& out) {
  auto& others = out.rows.sequences;
  part added{x, std::exchange(x->num_planned, 0), x->next()};
  added.draws = added.count == x->num_missing();
  batch_rows rows;
  rows.tokens = x->next_tokens(added.count);
  rows.first_position = x->next();
  rows.form = PLANTED(form_of_the_step) && !others.empty() ? others.front().form
                                                           : x->form();
  // A copy: the table may grow while the step is out.
  rows.blocks = std::make_shared<const kernels::block_table>(*x->blocks);
  if (x->num_answered() == 0)
    rows.scored = score_prompt(*x->request, options_.num_choices, x->next(),
                               x->next() + added.count, x->num_scored);
  added.num_scores = static_cast<uint32_t>(rows.scored.size());
  if (added.draws) {
    rows.draw = x->draws->after(x->answer);
    if (PLANTED(sampled_by_place_in_step))
      rows.draw->point = point_of(x->request->sampling.seed, others.size());
    rows.want_logits = x->request->want_logits;
  }
  others.push_back(std::move(rows));
  out.cost += options_.cost.of(x->next(), added.count);
  out.behind |= x->lanes;
  x->lanes |= static_cast<lane_mask>(1u << out.lane);
  x->num_scheduled += added.count;
  in_step_[out.lane].push_back(std::move(added));
}

/// Makes sure that `x` has its blocks, if need be at the cost of the youngest,
/// which may be itself: then it returns false. So it does while the youngest is
/// in a step, or has not heard what its last one brought.
bool batcher::make_room(sequence& x) {
  while (!claim_blocks(cache_, x)) {
    auto youngest = running_.back();
    if (youngest->num_scheduled > 0 || youngest->untold)
      return false;
    ++num_preemptions_;
    release_blocks(cache_, *youngest);
    if (!PLANTED(preempted_and_not_computed_again))
      youngest->num_computed = 0;
    if (PLANTED(answer_lost_at_preemption)) {
      youngest->answer.clear();
      begin_draws(*youngest);
    }
    if (cache_.keeps_keys())
      youngest->elsewhere = sequence::search::due;
    youngest->running = false;
    running_.pop_back();
    join_line(youngest);
    if (youngest.get() == &x)
      return false;
  }
  return true;
}

/// Its blocks are written to as long as it is in a step.
void batcher::retire(const sequence_ptr& x) {
  x->over = true;
  if (x->num_scheduled > 0 && !PLANTED(block_freed_early))
    return;
  release_blocks(cache_, *x);
  std::erase(running_, x);
}

// -- ending a step ------------------------------------------------------------

std::vector<batch_output> batcher::end_step(uint8_t lane, step_result result) {
  std::vector<batch_output> out;
  size_t at = 0; // in result.tokens
  auto logits = result.logits.begin();
  for (auto& x : std::exchange(in_step_[lane], {})) {
    auto& of = x.of;
    auto counts = leave_step(x, lane) || PLANTED(abandoned_rows_count);
    auto wants = x.draws && of->request->want_logits;
    auto first = std::exchange(at, at + x.num_scores + x.draws);
    CHECK(at <= result.tokens.size());
    CHECK(!wants || logits != result.logits.end());
    auto row = wants ? std::move(*logits++) : std::vector<float>{};
    if (of->over) {
      if (PLANTED(cancel_forgets_blocks))
        std::erase(running_, of);
      else
        retire(of);
    } else if (!counts) {
      continue;
    } else if (auto told = take(x, result, first, std::move(row));
               told && of->untold) {
      of->untold = std::move(told->event);
    } else if (told) {
      if (told->event.finish != finish_reason::none)
        retire(of);
      out.push_back(std::move(*told));
    }
  }
  CHECK(at == result.tokens.size() && logits == result.logits.end());
  look_at_ends(out);
  return out;
}

/// What there is to be told of a part whose tokens begin at `first`.
std::optional<batch_output> batcher::take(const part& x,
                                          const step_result& from, size_t first,
                                          std::vector<float> logits) {
  auto out = output_of(*x.of);
  auto& event = out.event;
  if (!take_prompt_scores(x, from, first, event))
    return out;
  if (x.draws) {
    event.num_cached = x.of->num_answered() == 0 ? *x.of->num_cached : 0;
    auto at = first + x.num_scores;
    event.scores = from.scores_of(at, x.of->request->num_scores);
    commit(*x.of, from.tokens[at], std::move(logits), event);
  }
  if (!x.draws && event.prompt_scores.empty())
    return std::nullopt;
  return out;
}

/// Returns false if there was none: then the request has failed.
bool batcher::take_prompt_scores(const part& x, const step_result& from,
                                 size_t first, generation_event& to) {
  auto& of = *x.of;
  to.first_scored = of.num_scored;
  for (uint32_t i = 0; i < x.num_scores; ++i) {
    if (from.tokens[first + i] == kernels::no_token) {
      lose_choice(of);
      to.finish = finish_reason::failed;
      to.cause = no_score(of.num_scored);
      to.prompt_scores.clear();
      return false;
    }
    auto scores = from.scores_of(first + i, of.request->num_prompt_scores);
    to.prompt_scores.insert(to.prompt_scores.end(), scores.begin(),
                            scores.end());
    ++of.num_scored;
  }
  return true;
}

void batcher::commit(sequence& x, int32_t token, std::vector<float> logits,
                     generation_event& to) {
  if (token == kernels::no_token)
    return end_without_choice(x, to);
  to.finish = finish_of(x, token);
  if (to.finish != finish_reason::stop) {
    x.answer.push_back(token);
    to.tokens.push_back(token);
    to.logits = std::move(logits);
    if (x.grammar)
      x.untold.emplace(); // which is the whole event, see end_step
  } else {
    to.end_token = token;
  }
}

void batcher::abandon_step(uint8_t lane) {
  for (auto& x : std::exchange(in_step_[lane], {})) {
    leave_step(x, lane, PLANTED(abandoned_rows_count));
    if (x.of->over)
      retire(x.of);
  }
}

std::vector<batch_output> batcher::fail_step(uint8_t lane,
                                             const failure& cause) {
  std::vector<batch_output> out;
  for (auto& x : std::exchange(in_step_[lane], {})) {
    leave_step(x, lane, false);
    auto is_known = x.of->over;
    retire(x.of);
    if (is_known || PLANTED(failed_step_ends_nobody))
      continue;
    auto output = output_of(*x.of);
    output.event.finish = finish_reason::failed;
    output.event.cause = cause;
    out.push_back(std::move(output));
  }
  return out;
}

} // namespace troupe
