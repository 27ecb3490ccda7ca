#include "runtime/model/plain_impl.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

/// Most logits that one pass may hold, to bound what a large vocabulary takes.
constexpr uint32_t max_logits = 1 << 24;

/// All experts of every layer, in order.
std::vector<std::vector<uint32_t>> all_experts(const model_config& c) {
  std::vector<uint32_t> all(c.n_routed_experts);
  std::iota(all.begin(), all.end(), 0u);
  return std::vector<std::vector<uint32_t>>(c.num_moe_layers(), all);
}

/// Pairs (row, choice) in the order of their experts.
struct expert_plan {
  std::vector<uint32_t> row;    ///< [pairs] row of the operand
  std::vector<uint32_t> row_of; ///< [rows * top_k] place in `row`
  std::vector<slot_rows> slots;
};

expert_plan plan(std::span<const int32_t> experts, uint32_t top_k) {
  std::vector<uint32_t> order(experts.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return experts[a] < experts[b]; });
  expert_plan out;
  out.row_of.resize(experts.size());
  for (auto pair : order) {
    auto place = static_cast<uint32_t>(out.row.size());
    auto slot = static_cast<uint32_t>(experts[pair]);
    if (out.slots.empty() || out.slots.back().slot != slot)
      out.slots.push_back({slot, place, 0});
    ++out.slots.back().count;
    out.row_of[pair] = place;
    out.row.push_back(pair / top_k);
  }
  return out;
}

/// Loads both halves of the weights under one bar of progress.
load_progress part_of(const load_progress& whole, uint64_t before,
                      uint64_t total) {
  if (!whole)
    return {};
  return [whole, before, total](uint64_t done, uint64_t) {
    whole(std::min(before + done, total), total);
  };
}

} // namespace

batch chunk_of(const std::vector<int32_t>& tokens, attention_form form,
               uint32_t first, uint32_t count, const sequence_blocks& blocks) {
  batch_rows rows;
  rows.tokens.assign(tokens.begin() + first, tokens.begin() + first + count);
  rows.first_position = first;
  rows.form = form;
  rows.blocks = blocks.table();
  return {{std::move(rows)}};
}

result<void> plain_forward::impl::load(const checkpoint& source,
                                       const plain_options& wanted,
                                       const load_progress& progress) {
  auto& config = source.config();
  if (!config)
    return config.why();
  options = wanted;
  options.max_model_len = std::min(options.max_model_len,
                                   config->max_position_embeddings);
  if (options.max_model_len < 2 || options.chunk < 1)
    return failure{errc::invalid_input,
                   "a model needs room for two tokens and a chunk of one"};
  uint64_t total = 0;
  for (auto& name : source.names())
    total += source.find(name)->num_bytes;
  uint64_t before = 0;
  auto count = [&](uint64_t done, uint64_t of) {
    before = of;
    if (progress)
      progress(std::min(done, total), total);
  };
  auto p = options.activations;
  auto a = load_attention_weights(source, dev, p, options.max_model_len, count);
  if (!a)
    return a.why();
  attention = std::move(*a);
  auto e = load_expert_shard(source, dev, p, all_experts(*config),
                             part_of(progress, before, total));
  if (!e)
    return e.why();
  shard = std::move(*e);
  if (progress)
    progress(total, total);
  return {};
}

result<void> plain_forward::impl::claim() {
  auto& c = attention->config;
  auto num_tokens = options.max_model_len;
  auto num_sequences = std::max(1u, options.max_sequences);
  max_rows = std::max(std::min(options.chunk, num_tokens), num_sequences);
  max_logit_rows = std::clamp(max_logits / c.vocab_size, num_sequences,
                              max_rows);
  stream = dev.make_stream();
  auto per_block = kernels::latent_cache::block_tokens;
  auto blocks
    = kv_pool::make(dev, c, options.activations,
                    (num_tokens + per_block - 1) / per_block * num_sequences);
  if (!blocks)
    return blocks.why();
  pool = std::move(*blocks);
  auto a = attention_stages::make(dev, *stream, *attention, *pool, max_rows,
                                  max_logit_rows);
  if (!a)
    return a.why();
  stages = std::move(*a);
  auto e = expert_stages::make(dev, *stream, *shard,
                               max_rows * c.num_experts_per_tok);
  if (!e)
    return e.why();
  experts = std::move(*e);
  return {};
}

// -- one pass -----------------------------------------------------------------

result<void> plain_forward::impl::wait() {
  if (auto status = kernels::synchronize(*stream); !status)
    return failure{errc::step_failed, status.failure};
  return {};
}

result<void> plain_forward::impl::moe(uint32_t layer, std::span<int32_t> chosen,
                                      std::span<float> weights) {
  stages->route(layer);
  if (auto ok = wait(); !ok)
    return ok;
  auto choice = stages->chosen();
  if (!chosen.empty()) {
    std::copy(choice.experts.begin(), choice.experts.end(), chosen.begin());
    std::copy(choice.weights.begin(), choice.weights.end(), weights.begin());
  }
  auto pairs = plan(choice.experts, attention->config.num_experts_per_tok);
  experts->run(layer, stages->operand(), std::move(pairs.row), pairs.slots);
  stages->shared_expert(layer);
  stages->combine(experts->output(), std::move(pairs.row_of));
  return {};
}

result<void> plain_forward::impl::layer(uint32_t i) {
  stages->prepare(i);
  stages->attention(i);
  if (attention->config.is_moe(i))
    return moe(i);
  stages->dense_mlp(i);
  return {};
}

result<void>
plain_forward::impl::check(const std::vector<int32_t>& tokens) const {
  if (tokens.empty())
    return failure{errc::invalid_input, "the prompt has no tokens"};
  if (tokens.size() >= options.max_model_len)
    return failure{errc::context_too_long,
                   "the prompt has " + std::to_string(tokens.size())
                     + " tokens, which leaves no room in a context of "
                     + std::to_string(options.max_model_len)};
  for (auto id : tokens)
    if (id < 0 || static_cast<uint32_t>(id) >= attention->config.vocab_size)
      return failure{errc::invalid_input,
                     "token " + std::to_string(id)
                       + " is not in the model's vocabulary"};
  return {};
}

result<void> plain_forward::impl::pass(const batch& step) {
  stages->begin(step);
  for (uint32_t i = 0; i < attention->config.num_hidden_layers; ++i)
    if (auto ok = layer(i); !ok)
      return ok;
  stages->head();
  return wait();
}

} // namespace troupe
