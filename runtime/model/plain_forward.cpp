#include "runtime/model/plain_forward.hpp"

#include "runtime/model/plain_impl.hpp"
#include "runtime/sampling.hpp"

#include <algorithm>

namespace troupe {

result<std::unique_ptr<plain_forward>>
plain_forward::make(kernels::device& dev, const checkpoint& source,
                    const plain_options& options,
                    const load_progress& progress) {
  auto x = std::make_unique<impl>(dev);
  if (auto ok = x->load(source, options, progress); !ok)
    return ok.why();
  if (auto ok = x->claim(); !ok)
    return ok.why();
  return std::unique_ptr<plain_forward>{new plain_forward{std::move(x)}};
}

plain_forward::plain_forward(std::unique_ptr<impl> impl)
  : impl_(std::move(impl)) {
}

plain_forward::~plain_forward() = default;

const model_config& plain_forward::config() const {
  return impl_->attention->config;
}

uint32_t plain_forward::max_model_len() const {
  return impl_->options.max_model_len;
}

// -- answers ------------------------------------------------------------------

std::vector<plain_forward::impl::piece>
plain_forward::impl::pieces_of(size_t num_tokens,
                               std::span<const prompt_segment> segments,
                               uint32_t most) const {
  auto runs = forms_of_prompt(num_tokens, segments);
  if (options.prompt_form)
    runs = {{*options.prompt_form, static_cast<uint32_t>(num_tokens)}};
  std::vector<piece> out;
  uint32_t begin = 0;
  for (auto& run : runs)
    for (; begin < run.end; begin = out.back().end)
      out.push_back({run.form, begin, std::min(run.end, begin + most)});
  return out;
}

uint32_t plain_forward::impl::num_choices() const {
  auto all = attention->config.vocab_size;
  return options.num_choices > 0 ? std::min(options.num_choices, all) : all;
}

/// All chunks; the token that follows is drawn afterwards.
result<void> plain_forward::impl::prefill(const generation_request& request,
                                          const sequence_blocks& blocks,
                                          const kernels::draw& draw,
                                          std::vector<token_score>& scores) {
  auto& tokens = request.prompt;
  for (auto& x : pieces_of(tokens.size(), request.segments, max_rows)) {
    auto step = chunk_of(tokens, x.form, x.begin, x.end - x.begin, blocks);
    auto& rows = step.sequences.front();
    rows.scored = score_prompt(request, num_choices(), x.begin, x.end);
    if (x.end == tokens.size()) {
      rows.draw = draw;
      rows.want_logits = request.want_logits;
    }
    if (auto ok = pass(step); !ok)
      return ok;
    auto& drawn = *stages->drawn();
    for (size_t i = 0; i < rows.scored.size(); ++i) {
      if (drawn.tokens[i] == kernels::no_token)
        return no_score(x.begin + static_cast<uint32_t>(i) + 1);
      auto some = drawn.scores_of(i, request.num_prompt_scores);
      scores.insert(scores.end(), some.begin(), some.end());
    }
  }
  return {};
}

result<void> plain_forward::impl::decode(int32_t id, uint32_t position,
                                         const sequence_blocks& blocks,
                                         const kernels::draw& draw,
                                         bool want_logits) {
  batch_rows rows;
  rows.tokens = {id};
  rows.first_position = position;
  rows.blocks = blocks.table();
  rows.draw = draw;
  rows.want_logits = want_logits;
  return pass({{std::move(rows)}});
}

result<plain_forward::generation>
plain_forward::generate(const generation_request& request,
                        const std::function<void(int32_t)>& on_token) {
  auto& x = *impl_;
  if (auto ok = x.check(request.prompt); !ok)
    return ok.why();
  auto prompt = static_cast<uint32_t>(request.prompt.size());
  auto limit = x.options.max_model_len - prompt;
  if (request.max_tokens > 0)
    limit = std::min(limit, request.max_tokens);
  auto grammar = grammar_of(request, x.options.grammars.get());
  if (!grammar)
    return grammar.why();
  answer_draws draws{request, x.num_choices(), config().eos_token_ids,
                     *grammar};
  sequence_blocks blocks{*x.pool, prompt + limit};
  generation out;
  std::optional<failure> cause;
  auto want_logits = request.want_logits;
  auto next = x.prefill(request, blocks, draws.after({}), out.prompt_scores);
  while (true) {
    if (!next)
      return next.why();
    auto& drawn = *x.stages->drawn();
    auto position = static_cast<uint32_t>(out.tokens.size());
    auto id = drawn.tokens.at(drawn.tokens.size() - 1);
    if (id == kernels::no_token) {
      out.finish = draws.end_without_choice(out.tokens, cause);
      if (cause)
        return *cause;
      if (out.finish == finish_reason::none)
        return no_choice(position);
      return out;
    }
    auto scores = drawn.scores_of(drawn.tokens.size() - 1, request.num_scores);
    out.scores.insert(out.scores.end(), scores.begin(), scores.end());
    if (draws.is_end(id)) {
      out.finish = finish_reason::stop;
      return out;
    }
    out.tokens.push_back(id);
    for (auto& row : drawn.logits)
      out.logits.insert(out.logits.end(), row.begin(), row.end());
    if (on_token)
      on_token(id);
    auto is_full = out.tokens.size() == limit;
    auto end = draws.end_of(out.tokens, cause, is_full);
    if (cause)
      return *cause;
    if (end != finish_reason::none) {
      out.finish = end;
      return out;
    }
    if (is_full)
      return out;
    next = x.decode(id, prompt + position, blocks, draws.after(out.tokens),
                    want_logits);
  }
}

} // namespace troupe
