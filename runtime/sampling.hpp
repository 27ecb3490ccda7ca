#pragma once

/// From a request to the draws of its tokens, which kernels::sample carries
/// out. A pure function: the same logits, request and answer so far give the
/// same token on every machine.

#include "kernels/ops.hpp"
#include "runtime/grammar/grammar_masks.hpp"
#include "runtime/service.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace troupe {

/// Uniform in [0, 2^53), from a counter-based generator (Philox 4x32-10) keyed
/// by `seed` at counter `position`. [Salmon et al., SC'11]
uint64_t point_of(uint64_t seed, uint64_t position);

/// How the token at `position` is chosen, which counts from 0, the first after
/// the prompt, but for edits: among the first `num_choices` ids, since those
/// beyond the tokenizer's vocabulary are never sampled. Which row of logits is
/// looked at is up to who computes them.
kernels::draw draw_of(const sampling_params& params, uint32_t num_choices,
                      uint32_t position);

/// The draws of one answer with their edits. Its tokens so far are handed in
/// each time; what was counted before is kept, so that a draw costs what is new
/// and what is edited: nothing without penalties.
class answer_draws {
public:
  /// `request` must outlive this. `eos`: the model's end tokens; `grammar`: the
  /// request's, null if it has none. `when_made` is called when this may be
  /// ready that was not; without it masks are made here.
  answer_draws(const generation_request& request, uint32_t num_choices,
               std::span<const int32_t> eos,
               std::shared_ptr<grammar_masks> grammar = nullptr,
               grammar_waker when_made = nullptr);

  /// Whether it is known what may come after `answer`; else it will be, and who
  /// waits is called. An answer that goes on here is followed a few tokens each
  /// time that this is asked.
  bool is_ready(std::span<const int32_t> answer);

  /// How the token after `answer` is chosen, for which this is ready.
  kernels::draw after(std::span<const int32_t> answer);

  /// Why `answer` is over though no end token has come: its grammar has no text
  /// that goes on from it. stop if it is whole, else length; failed with a
  /// `cause` if it takes too many steps to say what goes on, which matters to
  /// nobody where it `is_full`.
  finish_reason end_of(std::span<const int32_t> answer,
                       std::optional<failure>& cause, bool is_full = false);

  /// The same where no token could be chosen after `answer`: none if that is
  /// not the grammar's doing.
  finish_reason end_without_choice(std::span<const int32_t> answer,
                                   std::optional<failure>& cause);

  /// Whether its grammar has nothing to follow to where `answer` is.
  bool has_followed(std::span<const int32_t> answer) const {
    return !grammar_ || answer.size() == num_followed_;
  }

  /// What its grammar took for the last of these questions (grammar_matcher::
  /// work), the masks not counted: they are made beside.
  uint64_t work() const {
    return work_;
  }

  /// Whether `id` ends the answer.
  bool is_end(int32_t id) const;

private:
  /// A token whose logit may be edited.
  struct entry {
    int32_t id = 0;
    float bias = 0;
    bool is_end = false;
    bool is_known = false; ///< Prompt or answer have it.
    uint32_t count = 0;    ///< In the answer.
  };

  entry& entry_of(int32_t id);
  void see(std::span<const int32_t> answer);
  bool edit_of(const entry& x, bool may_end, kernels::logit_edit& out) const;
  void follow(std::span<const int32_t> answer);
  bool follow_some(std::span<const int32_t> answer);
  void look();
  std::shared_ptr<const id_bits> allowed();
  finish_reason end_by_grammar(mask_trouble trouble,
                               std::optional<failure>& cause) const;

  const generation_request& request_;
  uint32_t num_choices_;
  std::vector<int32_t> ends_;
  std::vector<entry> entries_; ///< Ascending by id.
  size_t num_seen_ = 0;        ///< Of the answer, in `entries_`.
  std::shared_ptr<grammar_masks> grammar_;
  grammar_masks::place place_; ///< Behind the first num_followed_ tokens.
  size_t num_followed_ = 0;
  std::shared_ptr<const token_mask> mask_; ///< Of place_; null: not asked for.
  grammar_waker when_made_;
  uint64_t work_ = 0;
};

/// Scores of the prompt's tokens that follow those at [first, end), but for
/// what comes before position `from`: draws for batch_rows::scored.
std::vector<kernels::draw> score_prompt(const generation_request& request,
                                        uint32_t num_choices, uint32_t first,
                                        uint32_t end, uint32_t from = 0);

/// What a request ends with whose logits allowed no token (kernels::no_token);
/// `position` as above.
failure no_choice(uint32_t position);

/// The same for a token of the prompt.
failure no_score(uint32_t position);

} // namespace troupe
