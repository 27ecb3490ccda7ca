#pragma once

/// Continuous batching of one rank: which tokens of which requests run in the
/// next step. Requests join and leave between steps. A plain class: no clock,
/// no mailbox.
///
/// Several steps may be out at once, each in a lane of its own: of different
/// sequences, or of later tokens of one, whose step then follows those with the
/// earlier ones. Who may be in a step is cut in micro-batches of equal cost,
/// one for each lane that is free; nobody is in two of them with tokens that
/// are drawn.
///
/// A request is a list of known tokens (prompt, then answer) of which a prefix
/// is computed; a step computes some more of it and, at the end of the list,
/// draws the next. So prefill, decode and recomputation are one thing.
///
///              next_step             token drawn
///   waiting ------------> running ---------------> running | finished
///      ^                     |
///      +---------------------+  no free block: the youngest gives its blocks
///                               back and starts again, with the same tokens
///
/// Rows of a step: one for everybody who decodes. Of what is left the oldest
/// prompt gets at least half, so that nobody waits for ever; the rest goes to
/// the prompts that need the fewest, so that nobody waits long for a few rows.
///
/// Blocks: whoever is let in takes those of all its known tokens at once, and
/// only if there are also those that it and all who run will need until its
/// prompt is computed and everybody has gone a block further. So no prefill is
/// thrown away, and who gives its blocks back has gained block_tokens tokens
/// since it was let in: computing again has a bound.
///
/// Who gave its blocks back is let in again once somebody has looked whether
/// others keep them (take_searches), where that is possible: what they have is
/// computed no more.
///
/// Whoever is let in finds the full blocks of its beginning that others, or it,
/// have left in the cache of prefixes (prefix_cache.hpp); they count as
/// computed. Not who wants scores of its prompt, for which it has to be
/// computed.
///
/// Who waits may be passed by younger ones for which there is room, but only
/// by max_num_seqs of them, and by none once its answer has begun.
///
/// Older is here who has the earlier turn: by arrival, and by priority where
/// requests have one (turn_in_line.hpp).
///
/// Invariants: a lane has one step out at a time; waiting and running are in
/// order of their turns.

#include "runtime/batching/prefill_backlog.hpp"
#include "runtime/batching/sequence.hpp"
#include "runtime/batching/step_cost.hpp"
#include "runtime/error.hpp"
#include "runtime/model/attention_forms.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/sampling.hpp"
#include "runtime/service.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

struct batcher_options {
  uint32_t max_num_seqs = 64;    ///< In a step.
  uint32_t max_num_running = 64; ///< At once, in whatever steps.
  /// Rows of all steps that are out; >= max_num_running.
  uint32_t max_num_batched_tokens = 512;
  uint32_t num_lanes = 1; ///< Steps that may be out at once, at most 4.
  step_cost cost;
  uint32_t max_model_len = 4096;
  uint32_t vocab_size = 0;
  uint32_t num_choices = 0; ///< Ids that may be sampled; 0: vocab_size.
  std::vector<int32_t> eos_token_ids;
  /// Called on another thread when somebody can be in a step who could not, for
  /// want of a mask of its grammar. Empty: masks are made where they are
  /// needed.
  grammar_waker when_ready;
  /// What the grammars of all may take in a step (grammar_matcher::work), but
  /// for the one that goes beyond; others wait, if there is somebody to call.
  uint64_t max_looking = 1 << 18;
};

/// The next step.
struct planned_step {
  uint8_t lane = 0;
  uint8_t behind = 0; ///< Lanes of the steps that it follows; bit i is lane i.
  double cost = 0;    ///< By batcher_options::cost.
  batch rows;
};

/// What a request hears after a step.
struct batch_output {
  request_id request = 0;
  uint32_t term = 0;
  generation_event event;
};

class batcher {
public:
  /// `cache` outlives this and has room for max_model_len.
  batcher(batcher_options options, prefix_cache& cache);

  /// Releases the blocks of all requests.
  ~batcher();

  /// Queues a request that has been settled (runtime/request_rules.hpp) and
  /// whose answer begins with `answered`. Its prompt stays where it is.
  /// `grammar` is its own, null if it has none.
  void add(request_id id, uint32_t term,
           std::shared_ptr<const generation_request> request,
           std::span<const int32_t> answered = {},
           std::shared_ptr<grammar_masks> grammar = nullptr);

  /// Frees what the request holds: at once, or when the steps that it is part
  /// of have ended. Returns its last event if it was here under that term.
  std::optional<batch_output> cancel(request_id id, uint32_t term);

  /// The last event of a request that was cancelled, after so many tokens.
  static batch_output cancelled(request_id id, uint32_t term,
                                uint32_t answered) {
    batch_output out{id, term, {}};
    out.event.first_position = answered;
    out.event.finish = finish_reason::failed;
    out.event.cause = failure{errc::cancelled, "the request was cancelled"};
    return out;
  }

  /// A request that is here under that term; or null.
  const sequence* find(request_id id, uint32_t term) const {
    auto is_it = [=](auto& x) {
      return x->id == id && x->term == term && !x->over;
    };
    if (auto i = std::ranges::find_if(running_, is_it); i != running_.end())
      return i->get();
    auto i = std::ranges::find_if(waiting_, is_it);
    return i == waiting_.end() ? nullptr : i->get();
  }

  /// Those whose blocks were given back, and for whom there is room again:
  /// others may keep what was in them. Each once; end_search() lets it in.
  /// Nobody is returned where the cache has no keys to look for.
  std::vector<std::shared_ptr<const sequence>> take_searches() {
    return std::exchange(searches_, {});
  }

  /// What there is has become known to the cache. Returns whether such a
  /// request is here.
  bool end_search(request_id id, uint32_t term) {
    auto is_it = [=](auto& x) {
      return x->id == id && x->term == term
             && x->elsewhere == sequence::search::begun;
    };
    auto i = std::ranges::find_if(waiting_, is_it);
    if (i == waiting_.end())
      return false;
    (*i)->elsewhere = sequence::search::none;
    return true;
  }

  /// Calls fn(sequence, first, count) for each who has rows in the step of a
  /// lane: where they begin and how many they are.
  template <class Fn>
  void for_each_in(uint8_t lane, Fn fn) const {
    for (auto& x : in_step_[lane])
      fn(*x.of, x.first, x.count);
  }

  static constexpr double no_limit = std::numeric_limits<double>::infinity();

  /// From now on steps are compared by that.
  void reprice(const step_cost& x) {
    options_.cost = x;
  }

  /// Returns the next step, if there is one to be run now. No more than
  /// `num_lanes` (at least 1, at most those of the options) are to be out at
  /// once. If anybody decodes it takes prompts' rows only until it costs
  /// `max_cost`, but one at least.
  std::optional<planned_step> next_step(uint32_t num_lanes,
                                        double max_cost = no_limit);

  /// Ends the step of a lane with what its sequences asked for.
  std::vector<batch_output> end_step(uint8_t lane, step_result result);

  /// What steps that have ended brought to those who had to wait for it: to be
  /// asked for when somebody was called (batcher_options::when_ready).
  std::vector<batch_output> look_at_ends() {
    std::vector<batch_output> out;
    look_at_ends(out);
    return out;
  }

  /// Ends it without a result: what it computed is to be computed again.
  void abandon_step(uint8_t lane);

  /// Ends it without a result: its requests end with `cause`.
  std::vector<batch_output> fail_step(uint8_t lane, const failure& cause);

  /// Steps that are out.
  uint32_t num_out() const {
    auto is_out = [](auto& parts) { return !parts.empty(); };
    return static_cast<uint32_t>(std::ranges::count_if(in_step_, is_out));
  }

  /// Rows in steps that are out, and those that could be in one more.
  uint32_t num_rows_at_hand() const;

  /// Whether rows of prompts wait for a step.
  bool has_prompts() const;

  uint32_t num_running() const {
    return static_cast<uint32_t>(running_.size());
  }

  uint32_t num_waiting() const {
    return static_cast<uint32_t>(waiting_.size());
  }

  /// Those of them that somebody else looks after.
  uint32_t num_searching() const {
    return static_cast<uint32_t>(std::ranges::count(
      waiting_, sequence::search::begun, &sequence::elsewhere));
  }

  /// How often blocks were given back before their time.
  uint64_t num_preemptions() const {
    return num_preemptions_;
  }

  /// Tokens of those who were let in, and how many of them were found.
  uint64_t num_looked_up() const {
    return num_looked_up_;
  }

  uint64_t num_found() const {
    return num_found_;
  }

  /// Requests that failed since their logits were no finite numbers.
  uint64_t num_without_choice() const {
    return num_without_choice_;
  }

private:
  using sequence_ptr = std::shared_ptr<sequence>;

  /// Rows of a sequence in a step.
  struct part {
    sequence_ptr of;
    uint32_t count = 0;
    uint32_t first = 0; ///< Position.
    bool draws = false;
    uint32_t num_scores = 0; ///< Tokens of the prompt that are scored.
  };

  std::optional<uint8_t> free_lane() const;
  uint32_t num_rows_out() const;
  void decode(planned_step& out, uint32_t num_lanes);
  /// Now, or when the step that it is in has ended.
  bool anybody_decodes() const {
    auto does = [](auto& x) { return !x->over && x->num_missing() <= 1; };
    return std::ranges::any_of(running_, does);
  }
  double cost_of_next(const sequence& x) const {
    return options_.cost.of(x.num_tokens() - 1, 1);
  }
  void prefill(planned_step& out, uint32_t num_lanes, uint32_t num_steps);
  std::vector<sequence_ptr> prefilling() const;
  double share_of(const std::vector<sequence_ptr>& prompts, uint32_t room,
                  uint32_t num_steps) const;

  /// What is left for prompts of the step that is being made.
  struct allowance {
    uint32_t rows = 0;
    uint32_t sequences = 0;
    double cost = 0;
    bool is_whole = true; ///< Nobody has been given any.
  };

  uint32_t give_rows(const sequence_ptr& x, uint32_t most, allowance& left);
  bool admit(const sequence_ptr& x);

  /// Whether it would be let in, if it were known what others keep of it. There
  /// is room for that now, and not before.
  bool looks_elsewhere(const sequence_ptr& x) {
    if (x->elsewhere == sequence::search::due) {
      x->elsewhere = sequence::search::begun;
      searches_.push_back(x);
    }
    return x->elsewhere == sequence::search::begun;
  }
  uint64_t num_blocks_to_admit(const sequence& x) const;
  bool may_be_passed(const sequence& x) const {
    return x.num_answered() == 0 && x.num_passed < options_.max_num_seqs;
  }
  void schedule(const sequence_ptr& x, planned_step& out);
  bool make_room(sequence& x);
  void join_line(sequence_ptr x) {
    auto at = std::ranges::upper_bound(waiting_, x->turn, {}, &sequence::turn);
    waiting_.insert(at, std::move(x));
  }
  void begin_draws(sequence& x) const;
  static batch_output output_of(const sequence& x) {
    batch_output out{x.id, x.term, {}};
    out.event.first_position = x.num_answered();
    return out;
  }

  std::optional<batch_output> take(const part& x, const step_result& from,
                                   size_t first, std::vector<float> logits);
  bool take_prompt_scores(const part& x, const step_result& from, size_t first,
                          generation_event& to);
  void commit(sequence& x, int32_t token, std::vector<float> logits,
              generation_event& to);
  static finish_reason finish_of(const sequence& x, int32_t token) {
    if (x.draws->is_end(token))
      return finish_reason::stop;
    return x.num_answered() + 1 == x.request->max_tokens ? finish_reason::length
                                                         : finish_reason::none;
  }
  void retire(const sequence_ptr& x);

  /// No token could be chosen.
  void end_without_choice(sequence& x, generation_event& to) {
    to.scores.clear();
    to.finish = x.draws->end_without_choice(x.answer, to.cause);
    if (to.finish != finish_reason::none)
      return;
    lose_choice(x);
    to.finish = finish_reason::failed;
    to.cause = no_choice(to.first_position);
  }

  /// Rows that `x` may have in a step if it has `most` there: one less where
  /// the last would draw a token of which nobody knows yet what it may be.
  uint32_t rows_ready(sequence& x, uint32_t most) {
    auto draws = x.num_planned + most == x.num_missing();
    return draws && !is_ready(x) ? most - 1 : most;
  }

  bool is_ready(sequence& x) {
    if (x.untold || (!x.draws->has_followed(x.answer) && has_looked_enough()))
      return false;
    auto out = x.draws->is_ready(x.answer);
    looked_ += x.draws->work();
    return out;
  }

  /// Then those who are left are called again.
  bool has_looked_enough() const {
    if (!options_.when_ready || looked_ <= options_.max_looking)
      return false;
    (*options_.when_ready)();
    return true;
  }

  /// Those first whose grammars take little: what a few take is not to keep
  /// others waiting.
  void look_at_ends(std::vector<batch_output>& out) {
    looked_ = 0;
    std::vector<sequence_ptr> all;
    std::ranges::copy_if(running_, std::back_inserter(all),
                         [](auto& x) { return x->untold && !x->over; });
    std::ranges::stable_sort(all, {}, [](auto& x) { return x->looking; });
    for (auto& x : all) {
      if (has_looked_enough())
        return;
      out.push_back({x->id, x->term, *std::exchange(x->untold, {})});
      auto& event = out.back().event;
      auto is_full = event.finish == finish_reason::length;
      if (auto end = x->draws->end_of(x->answer, event.cause, is_full);
          end != finish_reason::none)
        event.finish = end;
      looked_ += x->looking = x->draws->work();
      if (event.finish != finish_reason::none)
        retire(x);
    }
  }

  /// Its logits were no numbers: nobody is to begin with what it computed.
  void lose_choice(sequence& x) {
    ++num_without_choice_;
    forget_blocks(cache_, x);
  }

  /// Returns whether its rows count.
  bool leave_step(const part& x, uint8_t lane, bool is_computed = true) {
    auto& of = *x.of;
    if (!is_computed)
      of.void_from = std::min(of.void_from, x.first);
    auto counts = x.first < of.void_from;
    of.num_scheduled -= x.count;
    of.num_computed += counts ? x.count : 0;
    of.lanes &= static_cast<lane_mask>(~(1u << lane));
    if (of.lanes == 0)
      of.void_from = UINT32_MAX;
    seal_blocks(cache_, of);
    return counts;
  }

  batcher_options options_;
  prefix_cache& cache_;
  double max_cost_ = no_limit; ///< Of the step that is being made.
  uint64_t looked_ = 0;        ///< What grammars took in this call.
  double limit_ = no_limit;    ///< Likewise, once somebody decodes.
  bool is_full_ = false;       ///< Nobody of those who wait could be let in.
  uint64_t next_age_ = 0;
  uint64_t num_preemptions_ = 0;
  uint64_t num_without_choice_ = 0;
  uint64_t num_looked_up_ = 0;
  uint64_t num_found_ = 0;
  std::deque<sequence_ptr> waiting_;                      ///< By turn.
  std::vector<std::shared_ptr<const sequence>> searches_; ///< Not taken so far.
  std::vector<sequence_ptr> running_;                     ///< By turn.
  /// By lane, in the order of the batch; empty: no step is out.
  std::array<std::vector<part>, 4> in_step_;
};

} // namespace troupe
