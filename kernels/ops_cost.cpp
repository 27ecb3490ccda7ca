#include "kernels/ops.hpp"

namespace troupe::kernels {

namespace {

uint64_t size_of(const tensor& t) {
  return uint64_t{t.rows} * t.cols * kernels::size_of(t.type);
}

uint64_t size_of_row(const tensor& t) {
  return uint64_t{t.cols} * kernels::size_of(t.type);
}

uint64_t size_of_row(const activation& x) {
  return size_of_row(x.values) + (x.scales ? size_of_row(x.scales) : 0);
}

uint64_t size_if_any(const tensor& t) {
  return t ? size_of(t) : 0;
}

uint64_t size_if_any(const activation& x) {
  return size_if_any(x.values) + size_if_any(x.scales);
}

uint64_t size_of(const weight& w) {
  auto values = uint64_t{w.rows} * w.cols * kernels::size_of(w.type);
  auto tiles = uint64_t{num_scale_blocks(w.rows)} * num_scale_blocks(w.cols);
  return w.groups * (values + (w.type == dtype::f8_e4m3 ? tiles * 4 : 0));
}

uint64_t area(const tensor& t) {
  return uint64_t{t.rows} * t.cols;
}

uint64_t area(const weight& w) {
  return uint64_t{w.groups} * w.rows * w.cols;
}

uint64_t size_of_token(const latent_cache& cache) {
  return uint64_t{cache.latent + cache.rope} * kernels::size_of(cache.type);
}

cost of(const copy_in& op) {
  return {2 * op.dst.bytes, 0};
}

cost of(const copy_out& op) {
  return {2 * op.src.bytes, 0};
}

cost of(const pack_rows& op) {
  return {2 * op.idx.size() * size_of_row(op.x), 0};
}

cost of(const gather_rows& op) {
  return {2 * size_of(op.dst), 0};
}

cost of(const pack_weight& op) {
  return {2 * size_of(op.dst) / op.dst.rows * (op.end_row() - op.first_row), 0};
}

cost of(const embed& op) {
  return {op.ids.size() * size_of_row(op.table) + size_of(op.out), 0};
}

cost of(const rms_norm& op) {
  auto bytes = size_of(op.x) + size_of(op.weight) + size_if_any(op.out)
               + size_if_any(op.operand);
  return {bytes, 4 * area(op.x)};
}

cost of(const quantize& op) {
  return {size_of(op.x) + size_if_any(op.out), area(op.x)};
}

cost of(const linear& op) {
  auto bytes = size_if_any(op.x) + size_of(op.w) + size_if_any(op.residual)
               + size_of(op.out);
  return {bytes, 2 * op.out.rows * area(op.w)};
}

cost of(const grouped_linear& op) {
  auto x_size = uint64_t{op.x.rows} * op.w.groups * op.w.cols * 4;
  return {x_size + size_of(op.w) + size_of(op.out),
          2 * op.out.rows * area(op.w)};
}

cost of(const append_latent& op) {
  uint64_t rows = op.kv.rows;
  auto bytes = size_of(op.kv) + size_of(op.weight)
               + rows * (size_of_row(op.cos_sin) + size_of_token(op.cache));
  return {bytes, rows * (4 * op.cache.latent + 3 * op.cache.rope)};
}

cost of(const rotate& op) {
  uint64_t rows = op.x.rows;
  uint64_t rope = op.cos_sin.cols;
  return {rows * (2 * op.heads + 1) * rope * 4, rows * op.heads * rope * 3};
}

/// What sequences read, once each, and pairs of a row and a key that it sees.
struct reach {
  uint64_t keys = 0;
  uint64_t pairs = 0;

  explicit reach(const std::vector<sequence_rows>& sequences) {
    for (auto& s : sequences) {
      uint64_t n = s.num_rows;
      keys += n > 0 ? s.first_position + n : 0;
      pairs += n * s.first_position + n * (n + 1) / 2;
    }
  }
};

cost of(const mla_attention& op) {
  reach seen(op.sequences);
  auto rope_bytes = uint64_t{op.q.rows} * op.heads * op.cache.rope * 4;
  auto bytes = size_of(op.q_latent) + rope_bytes + size_of(op.out)
               + seen.keys * size_of_token(op.cache);
  auto per_pair = 2 * (2 * uint64_t{op.cache.latent} + op.cache.rope);
  return {bytes, seen.pairs * op.heads * per_pair};
}

cost of(const mha_attention& op) {
  reach seen(op.sequences);
  auto width = uint64_t{op.k_b.cols} + op.cache.rope;
  auto bytes = op.q.rows * op.heads * width * 4 + size_of(op.out)
               + size_of(op.k_b) + size_of(op.v_b)
               + seen.keys * size_of_token(op.cache);
  auto per_pair = 2 * (width + op.v_b.rows);
  auto making = 2 * (area(op.k_b) + area(op.v_b));
  return {bytes, seen.pairs * op.heads * per_pair + seen.keys * making};
}

cost of(const router& op) {
  auto bytes = size_of(op.x) + size_of(op.w) + size_if_any(op.bias)
               + size_of(op.experts) + size_of(op.weights);
  return {bytes, 2 * op.x.rows * area(op.w)};
}

cost of(const swiglu& op) {
  return {size_of(op.gate) + size_of(op.up) + size_if_any(op.out),
          4 * area(op.gate)};
}

cost of(const expert_mlp& op) {
  cost sum{op.row.size() * size_of_row(op.x) + size_of(op.out), 0};
  for (auto& g : op.groups) {
    if (g.count == 0)
      continue;
    auto& [gate, up, down] = g.expert;
    sum.bytes += size_of(gate) + size_of(up) + size_of(down);
    sum.flops += 2 * g.count * (area(gate) + area(up) + area(down));
  }
  return sum;
}

cost of(const combine& op) {
  auto bytes = op.row_of.size() * size_of_row(op.rows) + size_of(op.weights)
               + size_if_any(op.shared) + 2 * size_of(op.residual);
  auto adds = area(op.residual) * (op.shared ? 2 : 1);
  return {bytes, 2 * op.row_of.size() * op.residual.cols + adds};
}

/// A row is read once at least; a level is two of arithmetic, a weight about
/// twenty.
cost of(const sample& op) {
  cost sum{size_of(op.ids), 0};
  for (auto& x : op.draws) {
    sum.bytes += uint64_t{x.num_choices} * sizeof(float);
    auto passes = (x.temperature > 0) + (x.num_scores > 0);
    sum.flops += uint64_t(passes) * x.num_choices * 22;
    sum.bytes += x.edits ? x.edits->size() * sizeof(logit_edit) : 0;
    sum.bytes += x.allowed ? x.allowed->size() * sizeof(uint64_t) : 0;
    sum.bytes += x.num_scores * 8;
  }
  return sum;
}

} // namespace

cost cost_of(const operation& op) {
  return std::visit([](auto& what) { return of(what); }, op);
}

} // namespace troupe::kernels
