#pragma once

/// Continuous batching of one rank: which tokens of which requests run in the
/// next step. Requests join and leave between steps. A plain class: no clock,
/// no mailbox.
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
/// Who waits may be passed by younger ones for which there is room, but only
/// by max_num_seqs of them, and by none once its answer has begun.
///
/// Invariants: one step is out at a time; waiting and running are in order of
/// age.

#include "runtime/error.hpp"
#include "runtime/model/attention_forms.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/model/kv_pool.hpp"
#include "runtime/service.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

struct batcher_options {
  uint32_t max_num_seqs = 64;            ///< Running at once.
  uint32_t max_num_batched_tokens = 512; ///< Rows of a step; >= max_num_seqs.
  uint32_t max_model_len = 4096;
  uint32_t vocab_size = 0;
  uint32_t num_choices = 0; ///< Ids that may be sampled; 0: vocab_size.
  std::vector<int32_t> eos_token_ids;
};

/// What a request hears after a step.
struct batch_output {
  request_id request = 0;
  uint32_t term = 0;
  generation_event event;
};

class batcher {
public:
  /// `pool` outlives this and has room for max_model_len.
  batcher(batcher_options options, kv_pool& pool);

  /// Releases the blocks of all requests.
  ~batcher();

  /// Queues a request that has been settled (runtime/request_rules.hpp) and
  /// whose answer begins with `answered`. Its prompt stays where it is.
  void add(request_id id, uint32_t term,
           std::shared_ptr<const generation_request> request,
           std::span<const int32_t> answered = {});

  /// Frees what the request holds: at once, or when the step that it is part
  /// of has ended. Returns its last event if it was here under that term.
  std::optional<batch_output> cancel(request_id id, uint32_t term);

  /// Returns the rows of the next step; empty if there is nothing to do.
  batch next_step();

  /// Ends the step with what its sequences asked for.
  std::vector<batch_output> end_step(step_result result);

  /// Ends the step without a result: its requests end with `cause`.
  std::vector<batch_output> fail_step(const failure& cause);

  bool step_is_out() const {
    return !in_step_.empty();
  }

  uint32_t num_running() const {
    return static_cast<uint32_t>(running_.size());
  }

  uint32_t num_waiting() const {
    return static_cast<uint32_t>(waiting_.size());
  }

  /// How often blocks were given back before their time.
  uint64_t num_preemptions() const {
    return num_preemptions_;
  }

  /// Requests that failed since their logits were no finite numbers.
  uint64_t num_without_choice() const {
    return num_without_choice_;
  }

private:
  struct sequence {
    request_id id = 0;
    uint32_t term = 0;
    uint64_t age = 0; ///< Number in the order of arrival.
    std::shared_ptr<const generation_request> request;
    std::vector<form_run> forms; ///< Of the prompt.
    std::vector<int32_t> answer; ///< Tokens behind the prompt.
    uint32_t num_computed = 0;   ///< Tokens whose latents are in the cache.
    uint32_t num_scheduled = 0;  ///< Rows in the step that is out.
    uint32_t num_passed = 0;     ///< Younger ones let in while this waits.
    std::shared_ptr<kernels::block_table> blocks;
    bool running = false;
    bool cancelled = false;

    uint32_t num_tokens() const {
      return static_cast<uint32_t>(request->prompt.size() + answer.size());
    }

    uint32_t num_answered() const {
      return static_cast<uint32_t>(answer.size());
    }

    /// The next tokens that are to be computed.
    std::vector<int32_t> next_tokens(uint32_t count) const;

    uint32_t num_missing() const {
      return num_tokens() - num_computed;
    }

    /// Blocks that it holds once it has made `more` tokens, or its last.
    uint32_t num_blocks_after(uint64_t more) const;

    /// Of the next token that is to be computed.
    attention_form form() const {
      return run_at(num_computed).form;
    }

    /// Tokens that a step may compute at once.
    uint32_t num_of_one_form() const {
      return run_at(num_computed).end - num_computed;
    }

    /// Runs of one form that are still to be computed.
    uint32_t num_runs_missing() const {
      uint32_t out = 0;
      for (auto at = num_computed; at < num_tokens(); at = run_at(at).end)
        ++out;
      return out;
    }

    /// The run of `position`; an answer is part of a run before it that has its
    /// form.
    form_run run_at(uint32_t position) const {
      constexpr auto absorbed = attention_form::absorbed;
      for (auto& x : forms)
        if (position < x.end && (x.form != absorbed || &x != &forms.back()))
          return x;
      return {absorbed, num_tokens()};
    }
  };

  using sequence_ptr = std::shared_ptr<sequence>;

  void decode(batch& out);
  void prefill(batch& out);
  std::vector<sequence_ptr> prefilling() const;
  uint32_t give_rows(const sequence_ptr& x, uint32_t most);
  bool admit(const sequence_ptr& x);
  uint64_t num_blocks_to_admit(const sequence& x) const;
  bool may_be_passed(const sequence& x) const;
  void schedule(sequence_ptr x, batch& out);
  bool claim_blocks(sequence& x);
  bool make_room(sequence& x);
  void release_blocks(sequence& x);
  batch_output commit(sequence& x, int32_t token, std::vector<float> logits);
  finish_reason finish_of(const sequence& x, int32_t token) const;
  void drop(const sequence_ptr& x);

  batcher_options options_;
  kv_pool& pool_;
  uint64_t next_age_ = 0;
  uint64_t num_preemptions_ = 0;
  uint64_t num_without_choice_ = 0;
  std::deque<sequence_ptr> waiting_;  ///< Oldest first.
  std::vector<sequence_ptr> running_; ///< Oldest first.
  std::vector<sequence_ptr> in_step_; ///< In the order of the batch.
};

} // namespace troupe
