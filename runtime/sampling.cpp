#include "runtime/sampling.hpp"

#include "kernels/check.hpp"
#include "runtime/philox.hpp"

#include <algorithm>
#include <limits>
#include <string>

namespace troupe {

namespace {

/// `bits` with room for `num_choices` ids, of which `more` are allowed, too.
std::shared_ptr<const id_bits> grown(std::shared_ptr<const id_bits> bits,
                                     uint32_t num_choices,
                                     std::span<const int32_t> more) {
  auto size = (size_t{num_choices} + 63) / 64;
  if (more.empty() && bits->size() >= size)
    return bits;
  auto out = std::make_shared<id_bits>(*bits);
  out->resize(std::max(size, bits->size()));
  for (auto id : more)
    if (static_cast<uint32_t>(id) < num_choices)
      (*out)[size_t(id) / 64] |= uint64_t{1} << (id % 64);
  return out;
}

} // namespace

uint64_t point_of(uint64_t seed, uint64_t position) {
  auto bits = philox4x32(
    {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0,
     0},
    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  auto x = uint64_t{bits[1]} << 32 | bits[0];
  return x >> 11;
}

kernels::draw draw_of(const sampling_params& params, uint32_t num_choices,
                      uint32_t position) {
  kernels::draw out;
  out.num_choices = num_choices;
  out.temperature = params.temperature;
  out.top_p = params.top_p;
  out.top_k = params.top_k;
  out.point = point_of(params.seed, position);
  out.min_p = params.min_p;
  return out;
}

answer_draws::answer_draws(const generation_request& request,
                           uint32_t num_choices, std::span<const int32_t> eos,
                           std::shared_ptr<grammar_masks> grammar,
                           grammar_waker when_made)
  : request_(request), num_choices_(num_choices), ends_(request.stop_ids),
    grammar_(std::move(grammar)), when_made_(std::move(when_made)) {
  if (grammar_)
    place_ = grammar_->begin();
  if (!request.ignore_eos)
    ends_.insert(ends_.end(), eos.begin(), eos.end());
  auto& how = request.sampling;
  for (auto& x : how.biases)
    entry_of(x.id).bias = x.add;
  if (request.min_tokens > 0)
    for (auto id : ends_)
      entry_of(id).is_end = true;
  if (how.repetition_penalty == 1)
    return;
  auto known = request.prompt;
  std::ranges::sort(known);
  known.erase(std::unique(known.begin(), known.end()), known.end());
  for (auto id : known)
    entry_of(id).is_known = true;
}

bool answer_draws::is_end(int32_t id) const {
  return std::ranges::find(ends_, id) != ends_.end();
}

answer_draws::entry& answer_draws::entry_of(int32_t id) {
  auto at = std::ranges::lower_bound(entries_, id, {}, &entry::id);
  if (at == entries_.end() || at->id != id)
    at = entries_.insert(at, {.id = id});
  return *at;
}

void answer_draws::see(std::span<const int32_t> answer) {
  auto& how = request_.sampling;
  if (how.repetition_penalty == 1 && how.presence_penalty == 0
      && how.frequency_penalty == 0)
    return;
  for (auto id : answer.subspan(num_seen_)) {
    auto& x = entry_of(id);
    x.is_known = true;
    ++x.count;
  }
  num_seen_ = answer.size();
}

kernels::draw answer_draws::after(std::span<const int32_t> answer) {
  auto position = static_cast<uint32_t>(answer.size());
  auto out = draw_of(request_.sampling, num_choices_, position);
  out.num_scores = request_.num_scores;
  follow(answer);
  out.allowed = allowed();
  see(answer);
  if (entries_.empty())
    return out;
  std::vector<kernels::logit_edit> edits;
  edits.reserve(entries_.size());
  kernels::logit_edit edit;
  for (auto& x : entries_)
    if (edit_of(x, position >= request_.min_tokens, edit))
      edits.push_back(edit);
  if (!edits.empty())
    out.edits = std::make_shared<const std::vector<kernels::logit_edit>>(
      std::move(edits));
  return out;
}

// -- grammars -----------------------------------------------------------------

/// Returns whether it has followed all.
bool answer_draws::follow_some(std::span<const int32_t> answer) {
  if (has_followed(answer))
    return true;
  auto next = grammar_->follow(place_, answer.subspan(num_followed_));
  place_ = std::move(next.at);
  num_followed_ += next.count;
  work_ += next.work;
  mask_ = nullptr;
  return answer.size() == num_followed_;
}

void answer_draws::follow(std::span<const int32_t> answer) {
  while (!follow_some(answer)) {
  }
}

void answer_draws::look() {
  if (!mask_)
    mask_ = grammar_->ask(place_, when_made_);
}

bool answer_draws::is_ready(std::span<const int32_t> answer) {
  work_ = 0;
  if (!grammar_)
    return true;
  if (!when_made_)
    follow(answer);
  if (!follow_some(answer)) {
    (*when_made_)();
    return false;
  }
  look();
  return mask_->is_made();
}

finish_reason answer_draws::end_of(std::span<const int32_t> answer,
                                   std::optional<failure>& cause,
                                   bool is_full) {
  work_ = 0;
  follow(answer);
  if (!grammar_)
    return finish_reason::none;
  auto outlook = grammar_->outlook(place_, work_);
  auto is_too_much = outlook == grammar_outlook::too_much;
  if (outlook == grammar_outlook::tokens || (is_too_much && is_full))
    return finish_reason::none;
  return end_by_grammar(
    is_too_much ? mask_trouble::too_much : mask_trouble::none, cause);
}

finish_reason answer_draws::end_without_choice(std::span<const int32_t> answer,
                                               std::optional<failure>& cause) {
  if (!grammar_ || !is_ready(answer) || mask_->any())
    return finish_reason::none;
  return end_by_grammar(
    place_->is_too_much ? mask_trouble::too_much : mask_->trouble(), cause);
}

finish_reason
answer_draws::end_by_grammar(mask_trouble trouble,
                             std::optional<failure>& cause) const {
  if (trouble == mask_trouble::overloaded)
    cause = failure{errc::overloaded, "the grammar: too many others are being "
                                      "looked at: try again"};
  if (trouble == mask_trouble::too_much)
    cause = failure{errc::invalid_input,
                    "the grammar: it takes too many steps to find what may "
                    "follow "
                      + std::to_string(num_followed_)
                      + " tokens of the answer"};
  if (trouble != mask_trouble::none)
    return finish_reason::failed;
  return grammar_masks::may_end(place_) ? finish_reason::stop
                                        : finish_reason::length;
}

/// What the grammar says, and the end tokens where the text may end; nothing
/// where it could not be found out: the end would be a guess.
std::shared_ptr<const id_bits> answer_draws::allowed() {
  if (!grammar_)
    return nullptr;
  look();
  CHECK(mask_->is_made());
  auto is_known = mask_->trouble() == mask_trouble::none;
  if (!is_known || !grammar_masks::may_end(place_))
    return grown(mask_->allowed(), num_choices_, {});
  return grown(mask_->allowed(), num_choices_, ends_);
}

/// Returns false if nothing becomes of it.
bool answer_draws::edit_of(const entry& x, bool may_end,
                           kernels::logit_edit& out) const {
  constexpr auto forbidden = -std::numeric_limits<float>::infinity();
  auto& how = request_.sampling;
  out.id = static_cast<uint32_t>(x.id);
  out.bias = x.is_end && !may_end ? forbidden : x.bias;
  out.repetition = x.is_known ? how.repetition_penalty : 1;
  // The product is exact, so that it does not matter who fuses what.
  auto penalty = double{how.frequency_penalty} * x.count
                 + (x.count > 0 ? how.presence_penalty : 0);
  out.penalty = static_cast<float>(penalty);
  return out.id < num_choices_
         && (out.bias != 0 || out.repetition != 1 || out.penalty != 0);
}

std::vector<kernels::draw> score_prompt(const generation_request& request,
                                        uint32_t num_choices, uint32_t first,
                                        uint32_t end, uint32_t from) {
  std::vector<kernels::draw> out;
  auto& prompt = request.prompt;
  if (request.num_prompt_scores == 0)
    return out;
  for (auto at = first; at < end && at + 1 < prompt.size(); ++at) {
    if (at + 1 < from)
      continue;
    kernels::draw x;
    x.row = at - first;
    x.num_choices = num_choices;
    x.given = prompt[at + 1];
    x.num_scores = request.num_prompt_scores;
    out.push_back(std::move(x));
  }
  return out;
}

failure no_score(uint32_t position) {
  return {errc::step_failed, "the model computed no finite logits for token "
                               + std::to_string(position) + " of the prompt"};
}

failure no_choice(uint32_t position) {
  return {errc::step_failed, "the model computed no finite logits for token "
                               + std::to_string(position) + " of the answer"};
}

} // namespace troupe
