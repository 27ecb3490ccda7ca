// Times every operation of the cpu device at the shapes of a small DeepSeek
// and prints a table beside what the machine gives at best in the same run.
//
//   kernels_bench [target] [threads] [operation] [cpu]
//
// With `cpu` times are CPU time over threads: for a machine that others use.

#include "kernels/cpu/probe.hpp"
#include "kernels/device.hpp"
#include "kernels/host/host_memory.hpp"
#include "tests/bench/bench_table.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>

using namespace troupe::kernels;

namespace {

constexpr uint32_t hidden = 2048;
constexpr uint32_t inner = 1408;
constexpr uint32_t vocab = 32768;
constexpr uint32_t heads = 16;
constexpr uint32_t latent = 512;
constexpr uint32_t rope = 64;
constexpr uint32_t nope = 128;
constexpr uint32_t num_experts = 64;
constexpr uint32_t top_k = 6;
constexpr uint32_t depth = 16384; // positions in the cache

machine_rates measure(uint32_t num_threads) {
  thread_pool pool(num_threads);
  machine_probe probe{pool, [=] { return seconds(num_threads); }};
  return probe.measure(7);
}

constexpr uint32_t batches[] = {1, 8, 32, 64, 512};

void add_linears(bench& b, table& out, const char* name, dtype x_type,
                 dtype w_type, uint32_t n, uint32_t copies,
                 uint32_t max_batch) {
  if (!out.wants(name))
    return;
  std::vector<weight> weights;
  for (uint32_t i = 0; i < copies; ++i)
    weights.push_back(b.make_weight(w_type, n, hidden));
  for (auto m : batches) {
    if (m > max_batch)
      break;
    auto x = b.operand_of(x_type, b.numbers(m, hidden));
    auto y = b.make(dtype::f32, m, n);
    job j{name, m, {}, x_type != dtype::f32};
    for (auto& w : weights)
      j.operations.push_back(linear{x, w, {}, y});
    out.add(j);
  }
}

void add_products(bench& b, table& out) {
  using enum dtype;
  add_linears(b, out, "linear f8 x f8", f8_e4m3, f8_e4m3, hidden, 32, 512);
  add_linears(b, out, "linear bf16 x f8", bf16, f8_e4m3, hidden, 32, 512);
  add_linears(b, out, "linear bf16 x bf16", bf16, bf16, hidden, 24, 512);
  add_linears(b, out, "linear f32 x f8", f32, f8_e4m3, hidden, 32, 512);
  add_linears(b, out, "linear f32 x bf16", f32, bf16, hidden, 24, 512);
  add_linears(b, out, "linear f32 x bf16 (head)", f32, bf16, vocab, 2, 8);
  if (!out.wants("grouped_linear"))
    return;
  auto w = b.make_weight(bf16, latent, nope, heads);
  for (auto m : batches) {
    auto x = b.numbers(m, heads * nope);
    auto y = b.make(f32, m, heads * latent);
    out.add({"grouped_linear bf16", m, {grouped_linear{x, nope, w, y}}, true});
  }
}

/// Experts of `m` tokens that choose top_k at random.
expert_mlp route(bench& b, dtype type, uint32_t m,
                 const std::vector<expert_weights>& experts, uint32_t skip) {
  expert_mlp op;
  op.x = b.operand_of(type, b.numbers(m, hidden));
  std::vector<std::vector<uint32_t>> chosen(num_experts);
  for (uint32_t t = 0; t < m; ++t)
    for (uint32_t i = 0; i < top_k; ++i)
      chosen[(t * 7 + i * 11 + skip) % num_experts].push_back(t);
  for (uint32_t e = 0; e < num_experts; ++e) {
    if (chosen[e].empty())
      continue;
    op.groups.push_back(
      {experts[e], uint32_t(op.row.size()), uint32_t(chosen[e].size())});
    op.row.insert(op.row.end(), chosen[e].begin(), chosen[e].end());
  }
  auto rows = uint32_t(op.row.size());
  op.gate = b.make(dtype::f32, rows, inner);
  op.up = b.make(dtype::f32, rows, inner);
  op.middle = b.operand(type, rows, inner);
  op.out = b.make(dtype::bf16, rows, hidden);
  return op;
}

void add_experts(bench& b, table& out, const char* name, dtype x_type,
                 dtype w_type) {
  if (!out.wants(name))
    return;
  std::vector<expert_weights> experts;
  for (uint32_t e = 0; e < num_experts; ++e)
    experts.push_back({b.make_weight(w_type, inner, hidden),
                       b.make_weight(w_type, inner, hidden),
                       b.make_weight(w_type, hidden, inner)});
  for (auto m : batches) {
    job j{name, m, {}, true};
    for (uint32_t skip = 0; skip < (m < 64 ? 12 : 1); ++skip)
      j.operations.push_back(route(b, x_type, m, experts, skip * 5));
    out.add(j);
  }
  for (auto& e : experts)
    for (auto& w : {e.gate, e.up, e.down})
      b.dev().free(w.data);
}

/// `m` rows, in sequences of one row each or in one sequence.
std::vector<sequence_rows> sequences(uint32_t m, bool single,
                                     uint32_t position) {
  auto blocks = std::make_shared<block_table>();
  for (uint32_t i = 0; i < depth / latent_cache::block_tokens; ++i)
    blocks->push_back(i);
  std::vector<sequence_rows> out;
  if (single)
    out.push_back({0, m, position, blocks});
  for (uint32_t t = 0; !single && t < m; ++t)
    out.push_back({t, 1, position, blocks});
  return out;
}

/// Rotations that keep lengths: many in place must not end in subnormals.
void turn(const tensor& cos_sin) {
  for (uint32_t p = 0; p < cos_sin.rows; ++p)
    for (uint32_t i = 0; i < cos_sin.cols; i += 2) {
      auto angle = float(p) / float(i + 1);
      host::row<float>(cos_sin, p)[i] = std::cos(angle);
      host::row<float>(cos_sin, p)[i + 1] = std::sin(angle);
    }
}

void add_mha(bench& b, table& out, const latent_cache& cache) {
  using enum dtype;
  if (!out.wants("mha_attention"))
    return;
  auto k_b = b.make_weight(bf16, latent, nope, heads);
  auto v_b = b.make_weight(bf16, nope, latent, heads);
  auto add = [&](const char* name, uint32_t m, uint32_t position) {
    mha_attention op;
    op.q = b.numbers(m, heads * (nope + rope));
    op.heads = heads;
    op.q_stride = nope + rope;
    op.k_b = k_b;
    op.v_b = v_b;
    op.scale = 0.07f;
    op.cache = cache;
    op.sequences = sequences(m, true, position);
    op.out = b.make(f32, m, heads * nope);
    out.add({name, m, {op}, false});
  };
  add("mha_attention prompt", 64, 0);
  add("mha_attention prompt", 512, 0);
  add("mha_attention prompt +3584", 512, 3584);
  add("mha_attention prompt", 2048, 0);
}

void add_attention(bench& b, table& out) {
  using enum dtype;
  constexpr auto width = latent + rope;
  latent_cache cache;
  cache.type = bf16;
  cache.latent = latent;
  cache.rope = rope;
  cache.block_stride = uint64_t{latent_cache::block_tokens} * width * 2;
  cache.mem = b.claim(cache.block_stride * depth / latent_cache::block_tokens);
  auto cos_sin = b.make(f32, depth, rope);
  turn(cos_sin);
  auto weight = b.numbers(1, latent);
  auto fill = b.numbers(depth, width);
  b.work().enqueue(append_latent{fill, weight, 1e-6f, cos_sin, cache,
                                 sequences(depth, true, 0)});
  synchronize(b.work());
  auto attend = [&](const char* name, uint32_t m, bool single,
                    uint32_t position, uint32_t num_heads = heads) {
    mla_attention op;
    op.q_latent = b.numbers(m, num_heads * latent);
    op.q = b.numbers(m, num_heads * (nope + rope));
    op.heads = num_heads;
    op.q_stride = nope + rope;
    op.q_rope_skip = nope;
    op.scale = 0.07f;
    op.cache = cache;
    op.sequences = sequences(m, single, position);
    op.out = b.make(f32, m, num_heads * latent);
    out.add({name, m, {op}, false});
  };
  add_mha(b, out, cache);
  if (out.wants("mla_attention")) {
    for (auto m : {1u, 8u, 64u})
      attend("mla_attention at 1024", m, false, 1023);
    attend("mla_attention at 4096", 1, false, 4095);
    attend("mla_attention at 4096, 8 heads", 1, false, 4095, 8);
    attend("mla_attention at 16384", 1, false, 16383);
    attend("mla_attention prompt", 64, true, 0);
    attend("mla_attention prompt", 512, true, 0);
    attend("mla_attention prompt +3584", 512, true, 3584);
  }
  for (auto m : batches) {
    auto kv = b.numbers(m, width);
    auto q = b.numbers(m, heads * (nope + rope));
    if (out.wants("append_latent"))
      out.add({"append_latent",
               m,
               {append_latent{kv, weight, 1e-6f, cos_sin, cache,
                              sequences(m, true, 0)}},
               false});
    if (out.wants("rotate"))
      out.add(
        {"rotate",
         m,
         {rotate{q, heads, nope + rope, nope, cos_sin, sequences(m, true, 0)}},
         false});
  }
}

router make_router(bench& b, uint32_t m) {
  router op;
  op.x = b.numbers(m, hidden);
  op.w = b.make_weight(dtype::bf16, num_experts, hidden);
  op.bias = b.numbers(1, num_experts);
  op.num_groups = 8;
  op.topk_group = 4;
  op.top_k = top_k;
  op.logits = b.make(dtype::f32, m, num_experts);
  op.experts = b.make(dtype::i32, m, top_k);
  op.weights = b.make(dtype::f32, m, top_k);
  return op;
}

combine make_combine(bench& b, uint32_t m) {
  combine op;
  op.rows = b.make(dtype::bf16, m * top_k, hidden);
  for (uint32_t i = 0; i < m * top_k; ++i)
    op.row_of.push_back(i);
  op.weights = b.numbers(m, top_k);
  op.shared = b.numbers(m, hidden);
  op.residual = b.numbers(m, hidden);
  return op;
}

/// Operations on rows, for one number of them.
void add_rows(bench& b, table& out, uint32_t m) {
  auto x = b.numbers(m, hidden);
  auto codes = b.operand_of(dtype::f8_e4m3, x);
  auto weight = b.numbers(1, hidden);
  std::vector<uint32_t> idx(m);
  std::vector<int32_t> ids(m);
  for (uint32_t i = 0; i < m; ++i)
    ids[i] = int32_t(idx[i] = i * 7 % m);
  auto host_rows = b.dev().allocate_host(uint64_t{m} * hidden * 4);
  std::vector<operation> all = {
    embed{ids, b.make(dtype::bf16, 1024, hidden), x},
    rms_norm{x, weight, 1e-6f, x, codes},
    quantize{x, codes},
    swiglu{b.numbers(m, inner), b.numbers(m, inner),
           b.operand(dtype::f8_e4m3, m, inner)},
    make_router(b, m),
    make_combine(b, m),
    gather_rows{x, idx, b.make(dtype::f32, m, hidden)},
    pack_rows{codes, idx, host_rows->data(), host_rows},
    copy_in{host_rows->data(), x.mem, host_rows},
    copy_out{x.mem, host_rows->data(), host_rows},
  };
  for (auto& op : all)
    if (out.wants(name_of(op)))
      out.add({std::string(name_of(op)), m, {op}, false});
}

/// As a repetition penalty makes them.
std::shared_ptr<const std::vector<logit_edit>> edits_of(uint32_t count,
                                                        uint32_t size) {
  auto out = std::make_shared<std::vector<logit_edit>>();
  for (uint32_t i = 0; i < count; ++i)
    out->push_back({.id = i * (size / count), .repetition = 1.1f});
  return out;
}

/// Logits of a real vocabulary, flat, equal or with a peak in 129,280.
void add_draws(bench& b, table& out) {
  constexpr uint32_t size = 129280;
  auto add = [&](const char* name, uint32_t m, const draw& how, auto logit) {
    if (!out.wants(name))
      return;
    auto width = std::max(1u, how.num_scores);
    sample op{b.numbers(m, size),
              {},
              b.make(dtype::i32, m, 1),
              b.make(dtype::f32, m, width),
              b.make(dtype::i32, m, width)};
    for (uint32_t t = 0; t < m; ++t) {
      auto row = host::row<float>(op.logits, t);
      for (uint32_t i = 0; i < size; ++i)
        row[i] = logit(row[i]);
      op.draws.push_back(how);
      op.draws.back().row = t;
      op.draws.back().point = uint64_t((b.next() + 1) * 0x1p51f) * 2;
    }
    out.add({name, m, {op}, false});
  };
  draw usual{0, size, 0.6f, 0.95f};
  draw greedy{0, size, 0};
  draw plain{0, size};
  draw best{0, size, 0.6f, 0.95f, 50};
  auto edited = usual;
  edited.edits = edits_of(2000, size);
  auto scored = usual;
  scored.num_scores = 21;
  auto equal = [](float) { return 1.0f; };
  auto flat = [](float x) { return x; };
  auto wide = [](float x) { return 12 * x; };
  // As models do: most lie far below.
  auto peaked = [](float x) { return x > 0.999f ? 20.0f : 3 * x; };
  for (auto m : {1u, 64u}) {
    add("sample 0.6 0.95 equal", m, usual, equal);
    add("sample 0.6 0.95 flat", m, usual, flat);
    add("sample 0.6 0.95 wide", m, usual, wide);
    add("sample 0.6 0.95 peaked", m, usual, peaked);
    add("sample 0.6 0.95 50 flat", m, best, flat);
    add("sample 1 flat", m, plain, flat);
    add("sample greedy flat", m, greedy, flat);
    add("sample edited peaked", m, edited, peaked);
    add("sample scored peaked", m, scored, peaked);
  }
}

} // namespace

int main(int argc, char** argv) {
  cpu_options options;
  if (argc > 1)
    options.target = argv[1];
  options.num_threads = argc > 2 ? uint32_t(std::stoul(argv[2])) : 2;
  by_cpu_time = argc > 4 && std::string(argv[4]) == "cpu";
  auto limits = measure(options.num_threads);
  bench b(options);
  std::printf("%s, %u threads: %.1f GB/s, FMA %.0f GFLOP/s, BF16 dot %.0f\n",
              std::string(b.dev().target()).c_str(), options.num_threads,
              limits.read_bytes * 1e-9, limits.fma_flops * 1e-9,
              limits.dot_flops * 1e-9);
  table out(b, limits, options.num_threads, argc > 3 ? argv[3] : "");
  add_products(b, out);
  add_experts(b, out, "expert_mlp f8", dtype::f8_e4m3, dtype::f8_e4m3);
  add_experts(b, out, "expert_mlp bf16", dtype::bf16, dtype::bf16);
  add_attention(b, out);
  for (auto m : batches)
    add_rows(b, out, m);
  add_draws(b, out);
  return 0;
}
