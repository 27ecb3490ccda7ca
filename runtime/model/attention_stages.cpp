#include "runtime/model/forward.hpp"

#include "runtime/model/attention_scratch.hpp"
#include "runtime/model/head_stage.hpp"
#include "runtime/model/rope.hpp"

#include <numeric>

namespace troupe {

using kernels::dtype;
using kernels::tensor;

namespace {

/// The norms within attention have it whatever rms_norm_eps says, as in
/// DeepSeek's own code.
constexpr float latent_eps = 1e-6f;

} // namespace

/// What a lane claims for its largest step, beside what lanes share.
struct attention_stages::buffers {
  /// Without a device it is only counted.
  buffers(kernels::device* dev, const model_config& c, precision p,
          uint32_t max_rows);

  scratch mem;
  tensor residual;       ///< [rows, hidden] f32
  operand_set normed;    ///< [rows, hidden]; what is dispatched
  tensor shared;         ///< [rows, hidden] f32
  tensor experts;        ///< [rows, top_k] i32
  tensor expert_weights; ///< [rows, top_k] f32
  tensor landing;        ///< [rows * top_k, hidden]
  kernels::host_ptr host_experts;
  kernels::host_ptr host_weights;
};

struct attention_stages::impl : buffers {
  /// Neighbouring sequences of one form: rows [first, first + count).
  struct run {
    attention_form form;
    uint32_t first = 0;
    uint32_t count = 0;
    std::vector<kernels::sequence_rows> sequences; ///< Rows from `first` on.
  };

  impl(kernels::device& dev, kernels::stream& stream,
       const attention_weights& weights, kv_pool& pool,
       std::shared_ptr<attention_scratch> room);

  void norm(const tensor& x, const tensor& weight, float eps, operand_set& out,
            dtype main);
  void linear(operand_set& x, const kernels::weight& w, const tensor& out,
              const tensor& residual = {});
  void project(const attention_layer& l);
  void attend(const attention_layer& l, uint32_t layer);
  void attend_absorbed(const attention_layer& l,
                       const kernels::latent_cache& cache, const run& rows);
  void attend_multi_head(const attention_layer& l,
                         const kernels::latent_cache& cache, const run& rows);
  void copy_out(const tensor& from, std::byte* to,
                std::shared_ptr<const void> keep_alive = {});

  /// The part of scratch that this step uses.
  tensor now(const tensor& t) const {
    return t.slice_rows(0, num_rows);
  }

  dtype operand_of(const kernels::weight& w) const {
    return operand_type(w, weights.activations);
  }

  kernels::stream& stream;
  const attention_weights& weights;
  const model_config& c;
  const std::shared_ptr<attention_scratch> room;
  attention_scratch& s; ///< The same.
  kv_pool& pool;
  uint32_t num_rows = 0;
  std::vector<kernels::sequence_rows> sequences;
  std::vector<run> runs;           ///< The same, by form.
  std::vector<uint32_t> positions; ///< [rows]
  head_stage head;
  kernels::activation operand; ///< Of the last route.
  bool has_shared = false;
};

attention_stages::buffers::buffers(kernels::device* dev, const model_config& c,
                                   precision p, uint32_t max_rows)
  : mem(dev) {
  auto f32 = [&](uint32_t cols) {
    return mem.claim(dtype::f32, max_rows, cols);
  };
  auto k = c.num_experts_per_tok;
  residual = f32(c.hidden_size);
  normed = {mem, c, p, max_rows, c.hidden_size};
  if (c.num_moe_layers() == 0)
    return;
  shared = f32(c.hidden_size);
  experts = mem.claim(dtype::i32, max_rows, k);
  expert_weights = f32(k);
  landing = mem.claim(c.combine_type(p), max_rows * k, c.hidden_size);
  host_experts = mem.claim_host(uint64_t{max_rows} * k * 4);
  host_weights = mem.claim_host(uint64_t{max_rows} * k * 4);
}

attention_stages::impl::impl(kernels::device& dev, kernels::stream& stream,
                             const attention_weights& weights, kv_pool& pool,
                             std::shared_ptr<attention_scratch> room)
  : buffers(&dev, weights.config, weights.activations, room->max_rows),
    stream(stream), weights(weights), c(weights.config), room(std::move(room)),
    s(*this->room), pool(pool), head(s, c.vocab_size) {
}

uint64_t attention_stages::num_bytes(const model_config& config, precision p,
                                     uint32_t max_rows, uint32_t max_logit_rows,
                                     uint32_t num_lanes) {
  attention_scratch common{nullptr, config, p, max_rows, max_logit_rows};
  buffers lane{nullptr, config, p, max_rows};
  return common.mem.num_bytes() + num_lanes * lane.mem.num_bytes();
}

void attention_stages::impl::norm(const tensor& x, const tensor& weight,
                                  float eps, operand_set& out, dtype main) {
  out.reset(x.rows, x.cols);
  kernels::rms_norm op;
  op.x = x;
  op.weight = weight;
  op.eps = eps;
  op.out = out.exact();
  if (main != dtype::f32) {
    op.operand = out.room(main);
    out.mark(main);
  }
  stream.enqueue(std::move(op));
}

void attention_stages::impl::linear(operand_set& x, const kernels::weight& w,
                                    const tensor& out, const tensor& residual) {
  stream.enqueue(
    kernels::linear{x.as(operand_of(w), stream), w, residual, out});
}

/// From the residual stream to q and s.kv.
void attention_stages::impl::project(const attention_layer& l) {
  auto& first = c.q_lora_rank > 0 ? l.q_a : l.q_b;
  norm(now(residual), l.input_norm, c.rms_norm_eps, normed, operand_of(first));
  if (c.q_lora_rank > 0) {
    linear(normed, l.q_a, now(s.q_low));
    norm(now(s.q_low), l.q_a_norm, latent_eps, s.q_normed, operand_of(l.q_b));
    linear(s.q_normed, l.q_b, now(s.q));
  } else {
    linear(normed, l.q_b, now(s.q));
  }
  linear(normed, l.kv_a, now(s.kv));
}

/// From q and kv to the values of each head, by way of the cache.
void attention_stages::impl::attend(const attention_layer& l, uint32_t layer) {
  auto cache = pool.layer(layer);
  auto heads = c.num_attention_heads;
  auto nope = c.qk_nope_head_dim;
  stream.enqueue(kernels::append_latent{now(s.kv), l.kv_a_norm, latent_eps,
                                        weights.cos_sin, cache, sequences});
  stream.enqueue(kernels::rotate{now(s.q), heads, head_dim(c), nope,
                                 weights.cos_sin, sequences});
  s.values.reset(num_rows, heads * c.v_head_dim);
  for (auto& rows : runs)
    if (rows.form == attention_form::absorbed)
      attend_absorbed(l, cache, rows);
    else
      attend_multi_head(l, cache, rows);
}

void attention_stages::impl::attend_absorbed(const attention_layer& l,
                                             const kernels::latent_cache& cache,
                                             const run& rows) {
  auto part = [&](const tensor& t) {
    return t.slice_rows(rows.first, rows.count);
  };
  stream.enqueue(
    kernels::grouped_linear{part(s.q), head_dim(c), l.k_b, part(s.q_latent)});
  kernels::mla_attention op;
  op.q_latent = part(s.q_latent);
  op.q = part(s.q);
  op.heads = c.num_attention_heads;
  op.q_stride = head_dim(c);
  op.q_rope_skip = c.qk_nope_head_dim;
  op.scale = softmax_scale(c);
  op.cache = cache;
  op.sequences = rows.sequences;
  op.out = part(s.attended);
  stream.enqueue(std::move(op));
  stream.enqueue(kernels::grouped_linear{part(s.attended), c.kv_lora_rank,
                                         l.v_b, part(s.values.exact())});
}

void attention_stages::impl::attend_multi_head(
  const attention_layer& l, const kernels::latent_cache& cache,
  const run& rows) {
  kernels::mha_attention op;
  op.q = s.q.slice_rows(rows.first, rows.count);
  op.heads = c.num_attention_heads;
  op.q_stride = head_dim(c);
  op.k_b = l.k_b;
  op.v_b = l.v_b;
  op.scale = softmax_scale(c);
  op.cache = cache;
  op.sequences = rows.sequences;
  op.out = s.values.exact().slice_rows(rows.first, rows.count);
  stream.enqueue(std::move(op));
}

void attention_stages::impl::copy_out(const tensor& from, std::byte* to,
                                      std::shared_ptr<const void> keep_alive) {
  auto bytes = from.rows * from.stride;
  stream.enqueue(
    kernels::copy_out{from.mem.slice(0, bytes), to, std::move(keep_alive)});
}

// -- the stages ---------------------------------------------------------------

attention_stages::attention_stages(std::unique_ptr<impl> impl)
  : impl_(std::move(impl)) {
}

attention_stages::~attention_stages() = default;

result<std::unique_ptr<attention_stages>>
attention_stages::make(kernels::device& dev, kernels::stream& stream,
                       const attention_weights& weights, kv_pool& pool,
                       uint32_t max_rows, uint32_t max_logit_rows) {
  auto lanes = make_lanes(dev, stream, weights, pool, max_rows, max_logit_rows,
                          1);
  if (!lanes)
    return lanes.why();
  return std::move(lanes->front());
}

result<std::vector<std::unique_ptr<attention_stages>>>
attention_stages::make_lanes(kernels::device& dev, kernels::stream& stream,
                             const attention_weights& weights, kv_pool& pool,
                             uint32_t max_rows, uint32_t max_logit_rows,
                             uint32_t num_lanes) {
  auto room = std::make_shared<attention_scratch>(
    &dev, weights.config, weights.activations, max_rows, max_logit_rows);
  if (auto ok = room->mem.check(); !ok)
    return ok.why();
  std::vector<std::unique_ptr<attention_stages>> out;
  for (uint32_t i = 0; i < num_lanes; ++i) {
    auto made = std::make_unique<impl>(dev, stream, weights, pool, room);
    if (auto ok = made->mem.check(); !ok)
      return ok.why();
    out.emplace_back(new attention_stages{std::move(made)});
  }
  return out;
}

void attention_stages::begin(const batch& step) {
  auto& x = *impl_;
  x.num_rows = step.num_rows();
  CHECK(x.num_rows >= 1 && x.num_rows <= x.s.max_rows);
  x.sequences.clear();
  x.runs.clear();
  x.positions.clear();
  x.head.begin(step);
  kernels::embed op;
  for (auto& s : step.sequences) {
    auto first = static_cast<uint32_t>(op.ids.size());
    op.ids.insert(op.ids.end(), s.tokens.begin(), s.tokens.end());
    auto count = static_cast<uint32_t>(s.tokens.size());
    x.sequences.push_back({first, count, s.first_position, s.blocks});
    for (uint32_t i = 0; i < count; ++i)
      x.positions.push_back(s.first_position + i);
    if (x.runs.empty() || x.runs.back().form != s.form)
      x.runs.push_back({s.form, first, 0, {}});
    auto& run = x.runs.back();
    run.sequences.push_back(
      {first - run.first, count, s.first_position, s.blocks});
    run.count += count;
  }
  op.table = x.weights.embedding;
  op.out = x.now(x.residual);
  x.stream.enqueue(std::move(op));
}

void attention_stages::prepare(uint32_t layer) {
  impl_->project(impl_->weights.layers[layer]);
}

void attention_stages::attention(uint32_t layer) {
  auto& x = *impl_;
  auto& l = x.weights.layers[layer];
  x.attend(l, layer);
  x.linear(x.s.values, l.o, x.now(x.residual), x.now(x.residual));
}

void attention_stages::dense_mlp(uint32_t layer) {
  auto& x = *impl_;
  auto& l = x.weights.layers[layer];
  auto inner = l.mlp.gate.rows;
  auto gate = kernels::dense(x.s.gate.mem, dtype::f32, x.num_rows, inner);
  auto up = kernels::dense(x.s.up.mem, dtype::f32, x.num_rows, inner);
  x.norm(x.now(x.residual), l.post_norm, x.c.rms_norm_eps, x.normed,
         x.operand_of(l.mlp.gate));
  x.linear(x.normed, l.mlp.gate, gate);
  x.linear(x.normed, l.mlp.up, up);
  auto type = x.operand_of(l.mlp.down);
  x.s.middle.reset(x.num_rows, inner);
  x.stream.enqueue(kernels::swiglu{gate, up, x.s.middle.room(type)});
  x.s.middle.mark(type);
  x.linear(x.s.middle, l.mlp.down, x.now(x.residual), x.now(x.residual));
}

void attention_stages::route(uint32_t layer) {
  auto& x = *impl_;
  auto& l = x.weights.layers[layer];
  auto type = x.c.dispatch_layout(x.weights.activations).type;
  x.norm(x.now(x.residual), l.post_norm, x.c.rms_norm_eps, x.normed, type);
  x.operand = x.normed.room(type);
  kernels::router op;
  op.x = x.normed.exact();
  op.w = l.gate;
  op.bias = l.gate_bias;
  op.score = x.c.scoring_func;
  op.group = x.c.group_scoring;
  op.num_groups = x.c.n_group;
  op.topk_group = x.c.topk_group;
  op.top_k = x.c.num_experts_per_tok;
  op.normalize = x.c.norm_topk_prob;
  op.scaling = x.c.routed_scaling_factor;
  op.logits = x.now(x.s.router_logits);
  op.experts = x.now(x.experts);
  op.weights = x.now(x.expert_weights);
  x.stream.enqueue(std::move(op));
  x.copy_out(x.now(x.experts), x.host_experts->data(), x.host_experts);
  x.copy_out(x.now(x.expert_weights), x.host_weights->data(), x.host_weights);
  x.has_shared = false;
}

routes attention_stages::chosen() const {
  auto& x = *impl_;
  auto n = size_t{x.num_rows} * x.c.num_experts_per_tok;
  return {{reinterpret_cast<const int32_t*>(x.host_experts->data()), n},
          {reinterpret_cast<const float*>(x.host_weights->data()), n}};
}

const kernels::activation& attention_stages::operand() const {
  return impl_->operand;
}

std::span<const uint32_t> attention_stages::positions() const {
  return impl_->positions;
}

void attention_stages::shared_expert(uint32_t layer) {
  auto& x = *impl_;
  auto& expert = x.weights.layers[layer].mlp;
  if (!expert.gate)
    return;
  auto type = x.operand_of(expert.gate);
  auto inner = expert.gate.rows;
  x.s.middle.reset(x.num_rows, inner);
  kernels::expert_mlp op;
  op.x = x.normed.as(type, x.stream);
  op.row.resize(x.num_rows);
  std::iota(op.row.begin(), op.row.end(), 0u);
  op.groups = {{expert, 0, x.num_rows}};
  op.gate = kernels::dense(x.s.gate.mem, dtype::f32, x.num_rows, inner);
  op.up = kernels::dense(x.s.up.mem, dtype::f32, x.num_rows, inner);
  op.middle = x.s.middle.room(type);
  op.out = x.now(x.shared);
  x.stream.enqueue(std::move(op));
  x.has_shared = true;
}

void attention_stages::combine(const tensor& rows,
                               std::vector<uint32_t> row_of) {
  auto& x = *impl_;
  kernels::combine op;
  op.rows = rows;
  op.row_of = std::move(row_of);
  op.weights = x.now(x.expert_weights);
  if (x.has_shared)
    op.shared = x.now(x.shared);
  op.residual = x.now(x.residual);
  x.stream.enqueue(std::move(op));
}

void attention_stages::head() {
  auto& x = *impl_;
  x.head.run(x.stream, x.weights, x.now(x.residual));
}

uint32_t attention_stages::num_logit_rows() const {
  return impl_->head.num_rows();
}

const std::shared_ptr<step_result>& attention_stages::drawn() const {
  return impl_->head.drawn();
}

const tensor& attention_stages::landing() const {
  return impl_->landing;
}

// -- for verify ---------------------------------------------------------------

void attention_stages::copy_residual(float* dst) {
  auto& x = *impl_;
  x.copy_out(x.now(x.residual), reinterpret_cast<std::byte*>(dst));
}

void attention_stages::set_residual(const float* src) {
  auto& x = *impl_;
  kernels::copy_in op;
  op.src = reinterpret_cast<const std::byte*>(src);
  op.dst = x.now(x.residual).mem;
  x.stream.enqueue(std::move(op));
}

void attention_stages::copy_final_norm(float* dst) {
  auto& x = *impl_;
  x.norm(x.now(x.residual), x.weights.norm, x.c.rms_norm_eps, x.normed,
         dtype::f32);
  x.copy_out(x.normed.exact(), reinterpret_cast<std::byte*>(dst));
}

} // namespace troupe
