#include "runtime/model/plain_impl.hpp"

#include <algorithm>

namespace troupe {

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
  for (auto& piece : x.pieces_of(total, {}, x.max_logit_rows)) {
    auto first = piece.begin;
    auto step = chunk_of(tokens, piece.form, first, piece.end - first, blocks);
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
    stages->prepare(i);
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
  auto& logits = stages->drawn()->logits.at(0);
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
  for (auto& piece : x.pieces_of(total, {}, x.max_rows)) {
    auto first = piece.begin;
    auto step = chunk_of(tokens, piece.form, first, piece.end - first, blocks);
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

} // namespace troupe
