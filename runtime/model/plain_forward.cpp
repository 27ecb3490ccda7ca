#include "runtime/model/plain_forward.hpp"

#include "runtime/sampling.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

/// Most logits that one pass may hold, to bound what a large vocabulary takes.
constexpr uint32_t max_logits = 1 << 24;

/// The blocks of one sequence; given back at its end.
class sequence_blocks {
public:
  sequence_blocks(kv_pool& pool, uint32_t num_tokens) : pool_(pool) {
    auto per_block = kernels::latent_cache::block_tokens;
    kernels::block_table table;
    for (uint32_t i = 0; i < num_tokens; i += per_block) {
      auto block = pool.take();
      CHECK(block.has_value());
      table.push_back(*block);
    }
    table_ = std::make_shared<const kernels::block_table>(std::move(table));
  }

  ~sequence_blocks() {
    for (auto block : *table_)
      pool_.release(block);
  }

  sequence_blocks(const sequence_blocks&) = delete;
  sequence_blocks& operator=(const sequence_blocks&) = delete;

  const std::shared_ptr<const kernels::block_table>& table() const {
    return table_;
  }

private:
  kv_pool& pool_;
  std::shared_ptr<const kernels::block_table> table_;
};

/// Tokens [first, first + count) of a sequence as a step.
batch chunk_of(const std::vector<int32_t>& tokens, uint32_t first,
               uint32_t count, const sequence_blocks& blocks) {
  batch_rows rows;
  rows.tokens.assign(tokens.begin() + first, tokens.begin() + first + count);
  rows.first_position = first;
  rows.blocks = blocks.table();
  return {{std::move(rows)}};
}

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

struct plain_forward::impl {
  explicit impl(kernels::device& dev) : dev(dev) {
  }

  ~impl() {
    stream.reset(); // Waits, so that nobody uses what is freed below.
    for (auto part : {attention ? &attention->memory : nullptr,
                      shard ? &shard->memory : nullptr})
      for (size_t i = 0; part && i < part->size(); ++i)
        dev.free((*part)[i]);
  }

  result<void> load(const checkpoint& source, const plain_options& options,
                    const load_progress& progress);
  result<void> check(const std::vector<int32_t>& tokens) const;
  result<void> moe(uint32_t layer, std::span<int32_t> experts = {},
                   std::span<float> weights = {});
  result<void> layer(uint32_t i);
  result<void> wait();
  result<void> trace_chunk(const batch& step, uint32_t first, uint32_t total,
                           trace& out);
  result<void> layers_chunk(const batch& step, uint32_t first, uint32_t total,
                            const std::vector<float>& hidden,
                            std::vector<float>& out);
  result<void> pass(const batch& step);
  result<void> prefill(const std::vector<int32_t>& tokens,
                       const sequence_blocks& blocks);
  result<void> decode(int32_t id, uint32_t position,
                      const sequence_blocks& blocks);

  kernels::device& dev;
  plain_options options;
  std::unique_ptr<kernels::stream> stream;
  std::unique_ptr<attention_weights> attention;
  std::unique_ptr<expert_shard> shard;
  std::unique_ptr<kv_pool> pool;
  std::unique_ptr<attention_stages> stages;
  std::unique_ptr<expert_stages> experts;
  uint32_t max_rows = 0;
  uint32_t max_logit_rows = 0;
};

result<void> plain_forward::impl::load(const checkpoint& source,
                                       const plain_options& wanted,
                                       const load_progress& progress) {
  auto config = read_model_config(source.directory());
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
    total += source.find(name)->bytes.size();
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

result<std::unique_ptr<plain_forward>>
plain_forward::make(kernels::device& dev, const checkpoint& source,
                    const plain_options& options,
                    const load_progress& progress) {
  auto x = std::make_unique<impl>(dev);
  if (auto ok = x->load(source, options, progress); !ok)
    return ok.why();
  auto& c = x->attention->config;
  auto num_tokens = x->options.max_model_len;
  x->max_rows = std::min(x->options.chunk, num_tokens);
  x->max_logit_rows = std::clamp(max_logits / c.vocab_size, 1u, x->max_rows);
  x->stream = dev.make_stream();
  auto per_block = kernels::latent_cache::block_tokens;
  auto pool = kv_pool::make(dev, c, x->options.activations,
                            (num_tokens + per_block - 1) / per_block);
  if (!pool)
    return pool.why();
  x->pool = std::move(*pool);
  auto stages = attention_stages::make(dev, *x->stream, *x->attention, *x->pool,
                                       x->max_rows, x->max_logit_rows);
  if (!stages)
    return stages.why();
  x->stages = std::move(*stages);
  auto experts = expert_stages::make(dev, *x->stream, *x->shard,
                                     x->max_rows * c.num_experts_per_tok);
  if (!experts)
    return experts.why();
  x->experts = std::move(*experts);
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

// -- one pass -----------------------------------------------------------------

result<void> plain_forward::impl::wait() {
  if (auto status = kernels::synchronize(*stream); !status)
    return failure{errc::step_failed, status.failure};
  return {};
}

/// Dispatch and combine by calling. Copies the choice to spans that are not
/// empty.
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

// -- everything that a golden file holds --------------------------------------

result<plain_forward::trace>
plain_forward::run(const std::vector<int32_t>& tokens) {
  auto& x = *impl_;
  if (auto ok = x.check(tokens); !ok)
    return ok.why();
  auto& c = config();
  auto total = static_cast<uint32_t>(tokens.size());
  trace out;
  out.logits.resize(size_t{total} * c.vocab_size);
  out.hidden.resize(size_t{c.num_hidden_layers + 2} * total * c.hidden_size);
  out.experts.resize(size_t{c.num_moe_layers()} * total
                     * c.num_experts_per_tok);
  out.weights.resize(out.experts.size());
  sequence_blocks blocks{*x.pool, total};
  for (uint32_t first = 0; first < total; first += x.max_logit_rows) {
    auto count = std::min(x.max_logit_rows, total - first);
    auto step = chunk_of(tokens, first, count, blocks);
    step.sequences.front().want_all_logits = true;
    if (auto ok = x.trace_chunk(step, first, total, out); !ok)
      return ok.why();
  }
  return out;
}

result<void> plain_forward::impl::trace_chunk(const batch& step, uint32_t first,
                                              uint32_t total, trace& out) {
  auto& c = attention->config;
  auto state = [&](uint32_t i) {
    return out.hidden.data() + (size_t{i} * total + first) * c.hidden_size;
  };
  auto k = c.num_experts_per_tok;
  stages->begin(step);
  stages->copy_residual(state(0));
  for (uint32_t i = 0; i < c.num_hidden_layers; ++i) {
    stages->attention(i);
    if (c.is_moe(i)) {
      auto at = (size_t{i - c.first_k_dense_replace} * total + first) * k;
      auto n = size_t{step.num_rows()} * k;
      if (auto ok = moe(i, {out.experts.data() + at, n},
                        {out.weights.data() + at, n});
          !ok)
        return ok;
    } else {
      stages->dense_mlp(i);
    }
    stages->copy_residual(state(i + 1));
  }
  stages->copy_final_norm(state(c.num_hidden_layers + 1));
  stages->head();
  if (auto ok = wait(); !ok)
    return ok;
  auto logits = stages->logits();
  std::copy(logits.begin(), logits.end(),
            out.logits.begin() + size_t{first} * c.vocab_size);
  return {};
}

result<std::vector<float>>
plain_forward::run_layers(const std::vector<int32_t>& tokens,
                          const std::vector<float>& hidden) {
  auto& x = *impl_;
  if (auto ok = x.check(tokens); !ok)
    return ok.why();
  auto& c = config();
  auto total = static_cast<uint32_t>(tokens.size());
  auto size = size_t{total} * c.hidden_size;
  CHECK(hidden.size() >= c.num_hidden_layers * size);
  std::vector<float> out(c.num_hidden_layers * size);
  sequence_blocks blocks{*x.pool, total};
  for (uint32_t first = 0; first < total; first += x.max_rows) {
    auto count = std::min(x.max_rows, total - first);
    auto step = chunk_of(tokens, first, count, blocks);
    if (auto ok = x.layers_chunk(step, first, total, hidden, out); !ok)
      return ok.why();
  }
  return out;
}

result<void> plain_forward::impl::layers_chunk(const batch& step,
                                               uint32_t first, uint32_t total,
                                               const std::vector<float>& hidden,
                                               std::vector<float>& out) {
  auto& c = attention->config;
  stages->begin(step);
  for (uint32_t i = 0; i < c.num_hidden_layers; ++i) {
    auto at = (size_t{i} * total + first) * c.hidden_size;
    stages->set_residual(hidden.data() + at);
    if (auto ok = layer(i); !ok)
      return ok;
    stages->copy_residual(out.data() + at);
  }
  return wait();
}

// -- answers ------------------------------------------------------------------

result<void> plain_forward::impl::pass(const batch& step) {
  stages->begin(step);
  for (uint32_t i = 0; i < attention->config.num_hidden_layers; ++i)
    if (auto ok = layer(i); !ok)
      return ok;
  stages->head();
  return wait();
}

/// All chunks; the logits of the last token are there afterwards.
result<void> plain_forward::impl::prefill(const std::vector<int32_t>& tokens,
                                          const sequence_blocks& blocks) {
  auto total = static_cast<uint32_t>(tokens.size());
  for (uint32_t first = 0; first < total; first += max_rows) {
    auto count = std::min(max_rows, total - first);
    auto step = chunk_of(tokens, first, count, blocks);
    step.sequences.front().want_logits = first + count == total;
    if (auto ok = pass(step); !ok)
      return ok;
  }
  return {};
}

result<void> plain_forward::impl::decode(int32_t id, uint32_t position,
                                         const sequence_blocks& blocks) {
  batch_rows rows;
  rows.tokens = {id};
  rows.first_position = position;
  rows.blocks = blocks.table();
  rows.want_logits = true;
  return pass({{std::move(rows)}});
}

result<plain_forward::generation>
plain_forward::generate(const generation_request& request,
                        const std::function<void(int32_t)>& on_token) {
  auto& x = *impl_;
  if (auto ok = x.check(request.prompt); !ok)
    return ok.why();
  auto& c = config();
  auto prompt = static_cast<uint32_t>(request.prompt.size());
  auto limit = x.options.max_model_len - prompt;
  if (request.max_tokens > 0)
    limit = std::min(limit, request.max_tokens);
  auto num_choices = x.options.num_choices > 0
                       ? std::min(x.options.num_choices, c.vocab_size)
                       : c.vocab_size;
  auto is_end = [&](int32_t id) {
    auto& ends = c.eos_token_ids;
    return !request.ignore_eos
           && std::find(ends.begin(), ends.end(), id) != ends.end();
  };
  sequence_blocks blocks{*x.pool, prompt + limit};
  generation out;
  auto next = x.prefill(request.prompt, blocks);
  while (true) {
    if (!next)
      return next.why();
    auto logits = x.stages->logits();
    auto position = static_cast<uint32_t>(out.tokens.size());
    auto id = sample(logits, num_choices, request.sampling, position);
    if (is_end(id)) {
      out.finish = finish_reason::stop;
      return out;
    }
    out.tokens.push_back(id);
    if (request.want_logits)
      out.logits.insert(out.logits.end(), logits.begin(), logits.end());
    if (on_token)
      on_token(id);
    if (out.tokens.size() == limit)
      return out;
    next = x.decode(id, prompt + position, blocks);
  }
}

} // namespace troupe
