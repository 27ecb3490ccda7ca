#include "runtime/model/plain_impl.hpp"
#include "runtime/sampling.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Sequences in the midst of their answers.
struct running_sequence {
  std::unique_ptr<sequence_blocks> blocks;
  uint32_t position = 0; ///< Of `next`.
  int32_t next = 0;
};

batch step_of(const std::vector<running_sequence>& sequences,
              const kernels::draw& draw) {
  batch out;
  for (auto& x : sequences) {
    batch_rows rows;
    rows.tokens = {x.next};
    rows.first_position = x.position;
    rows.blocks = x.blocks->table();
    rows.draw = draw;
    out.sequences.push_back(std::move(rows));
  }
  return out;
}

} // namespace

/// Whether all fit side by side.
result<void> plain_forward::impl::check_together(
  const std::vector<std::vector<int32_t>>& prompts, uint32_t num_tokens) const {
  if (prompts.empty() || prompts.size() > std::max(1u, options.max_sequences))
    return failure{errc::invalid_input,
                   std::to_string(prompts.size())
                     + " sequences were asked for where there is room for "
                     + std::to_string(std::max(1u, options.max_sequences))};
  for (auto& prompt : prompts) {
    if (auto ok = check(prompt); !ok)
      return ok;
    if (num_tokens < 1 || num_tokens > options.max_model_len - prompt.size())
      return failure{errc::context_too_long,
                     std::to_string(num_tokens) + " tokens after a prompt of "
                       + std::to_string(prompt.size())
                       + " do not fit into a context of "
                       + std::to_string(options.max_model_len)};
  }
  return {};
}

result<void> plain_forward::generate_together(
  const std::vector<std::vector<int32_t>>& prompts, uint32_t num_tokens,
  const std::function<void(const std::vector<int32_t>&)>& on_step) {
  auto& x = *impl_;
  if (auto ok = x.check_together(prompts, num_tokens); !ok)
    return ok;
  kernels::draw greedy;
  greedy.num_choices = x.num_choices();
  greedy.temperature = 0;
  std::vector<running_sequence> running;
  std::vector<int32_t> tokens;
  for (auto& prompt : prompts) {
    auto size = static_cast<uint32_t>(prompt.size());
    auto blocks = std::make_unique<sequence_blocks>(*x.pool, size + num_tokens);
    generation_request request;
    request.prompt = prompt;
    std::vector<token_score> none;
    if (auto ok = x.prefill(request, *blocks, greedy, none); !ok)
      return ok;
    auto id = x.stages->drawn()->tokens.at(0);
    if (id == kernels::no_token)
      return no_choice(0);
    tokens.push_back(id);
    running.push_back({std::move(blocks), size, id});
  }
  on_step(tokens);
  for (uint32_t i = 1; i < num_tokens; ++i) {
    if (auto ok = x.pass(step_of(running, greedy)); !ok)
      return ok;
    tokens = x.stages->drawn()->tokens;
    for (size_t row = 0; row < running.size(); ++row) {
      if (tokens[row] == kernels::no_token)
        return no_choice(i);
      running[row].next = tokens[row];
      ++running[row].position;
    }
    on_step(tokens);
  }
  return {};
}

} // namespace troupe
