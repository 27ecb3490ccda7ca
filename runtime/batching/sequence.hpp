#pragma once

/// A request as its batcher has it: its tokens, how many of them are computed,
/// and the blocks of the cache in which they are.

#include "runtime/batching/prefix_cache.hpp"
#include "runtime/batching/turn_in_line.hpp"
#include "runtime/model/attention_forms.hpp"
#include "runtime/sampling.hpp"
#include "runtime/service.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace troupe {

using lane_mask = uint8_t; ///< Bit i is lane i.

struct sequence {
  request_id id = 0;
  uint32_t term = 0;
  turn_in_line turn;
  std::shared_ptr<const generation_request> request;
  std::vector<form_run> forms;            ///< Of the prompt.
  std::vector<int32_t> answer;            ///< Tokens behind the prompt.
  std::shared_ptr<grammar_masks> grammar; ///< Null: none.
  std::optional<answer_draws> draws;
  /// What its last step brought, until its grammar has been asked whether that
  /// is the end; nobody plans more before.
  std::optional<generation_event> untold;
  uint64_t looking = 0;       ///< What that took the last time.
  uint32_t num_computed = 0;  ///< Tokens whose latents are in the cache.
  uint32_t num_scheduled = 0; ///< Rows in steps that are out, the next.
  uint32_t num_planned = 0;   ///< Of the step that is being made.
  lane_mask lanes = 0;        ///< Of the steps that it has rows in.
  /// Of rows that are out, those from here on count for nothing: they follow
  /// some whose step was abandoned. Until all are back nobody plans more.
  uint32_t void_from = UINT32_MAX;
  bool was_left_out = false; ///< Could have been in the last step.
  uint32_t num_passed = 0;   ///< Younger ones let in while this waits.
  uint32_t num_scored = 1;   ///< The prompt's tokens with scores told.
  std::shared_ptr<kernels::block_table> blocks
    = std::make_shared<kernels::block_table>();
  uint32_t num_sealed = 0;            ///< Blocks, from the first on.
  uint64_t sealed = 0;                ///< The name of the last of these.
  kv_key sealed_key;                  ///< Its key, if the cache keeps keys.
  std::optional<uint32_t> num_cached; ///< Of the prompt, once it was let in.
  /// What it would begin with when it last looked, while it waits.
  std::vector<prefix_cache::entry> found;
  /// Its blocks were given back: they may be kept elsewhere, and it is not let
  /// in before somebody has looked there.
  enum class search : uint8_t { none, due, begun };
  search elsewhere = search::none;
  bool running = false;
  bool over = false; ///< Goes when the last of its steps has ended.

  uint32_t num_tokens() const {
    return static_cast<uint32_t>(request->prompt.size() + answer.size());
  }

  uint32_t num_answered() const {
    return static_cast<uint32_t>(answer.size());
  }

  uint32_t num_told() const {
    return num_answered() - (untold ? 1 : 0);
  }

  /// The first position that is in no step.
  uint32_t next() const {
    return num_computed + num_scheduled;
  }

  /// The next tokens that are to be computed.
  std::vector<int32_t> next_tokens(uint32_t count) const {
    std::vector<int32_t> out;
    for (auto i = next(); i < next() + count; ++i)
      out.push_back(token_at(i));
    return out;
  }

  int32_t token_at(uint32_t position) const {
    return position < request->prompt.size()
             ? request->prompt[position]
             : answer[position - request->prompt.size()];
  }

  /// A full one, which follows the block of that name.
  block_content content_of(uint32_t block, uint64_t before) const;

  uint32_t num_missing() const {
    return num_tokens() - next();
  }

  bool may_go_on() const {
    return running && !over && void_from == UINT32_MAX;
  }

  bool decodes() const {
    return may_go_on() && num_missing() == 1;
  }

  /// Blocks that it holds once it has made `more` tokens, or its last.
  uint32_t num_blocks_after(uint64_t more) const;

  /// Of the next token that is to be computed.
  attention_form form() const {
    return run_at(next()).form;
  }

  /// Tokens that a step may compute at once.
  uint32_t num_of_one_form() const {
    return run_at(next()).end - next();
  }

  /// Runs of one form that are still to be computed.
  uint32_t num_runs_missing() const {
    uint32_t out = 0;
    for (auto at = next(); at < num_tokens(); at = run_at(at).end)
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

/// How many blocks so many tokens take.
constexpr uint32_t num_blocks_for(uint32_t num_tokens) {
  constexpr auto n = kernels::latent_cache::block_tokens;
  return (num_tokens + n - 1) / n;
}

/// How many full blocks a sequence may begin with that it has not computed.
uint32_t num_prefix_blocks(const sequence& x);

/// The full blocks that a sequence without any may begin with. Its last token
/// is always computed: its logits are wanted; with those of its prompt, all
/// are until the answer has begun.
/// They are x.found; who looks again goes on where it ended.
void find_prefix(const prefix_cache& cache, sequence& x);

/// Gives x.found to the sequence, which counts their tokens as computed
/// already. Returns how many these are.
uint32_t take_prefix(prefix_cache& cache, sequence& x);

/// Where the block stands that is sealed next; nowhere unless the cache keeps
/// keys.
chain_place next_place(const prefix_cache& cache, const sequence& x);

/// Lets others find what has become full and is computed.
void seal_blocks(prefix_cache& cache, sequence& x);

/// Nobody finds any more what is in its blocks.
void forget_blocks(prefix_cache& cache, sequence& x);

/// Claims the blocks of all known tokens, if there are so many.
bool claim_blocks(prefix_cache& cache, sequence& x);

/// What it has computed is to be found, or computed again.
void release_blocks(prefix_cache& cache, sequence& x);

} // namespace troupe
