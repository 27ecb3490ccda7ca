// Times operations of a GPU at the shapes of DeepSeek-V3 and prints a table
// beside what the machine gives at best, as tests/bench/gpu_peers.py measured
// it in the same run.
//
//   gpu_bench READ_GB_PER_S BF16_TFLOPS FP8_TFLOPS [operation]
//
// "host us" is what the enqueuing thread takes: where it is the whole time, the
// GPU waits for it.

#include "kernels/cuda_device.hpp"
#include "kernels/ops.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

using namespace troupe::kernels;

namespace {

constexpr uint32_t hidden = 7168;
constexpr uint32_t inner = 2048;
constexpr uint32_t vocab = 129280;
constexpr uint32_t heads = 128;
constexpr uint32_t latent = 512;
constexpr uint32_t rope = 64;
constexpr uint32_t nope = 128;
constexpr uint32_t q_lora = 1536;
constexpr uint32_t top_k = 8;

struct ceilings {
  double read_bytes = 0; ///< Per second, as the others.
  double bf16_flops = 0;
  double fp8_flops = 0;
};

double now() {
  auto t = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(t).count();
}

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

/// Data on the GPU, made of cheap random numbers.
class bench {
public:
  bench() {
    std::string why;
    dev_ = make_cuda_device({}, why);
    if (!dev_)
      fail(why);
    stream_ = dev_->make_stream();
  }

  device& dev() {
    return *dev_;
  }

  void wait() {
    if (auto status = synchronize(*stream_); !status)
      fail(status.failure);
  }

  void enqueue(const operation& op) {
    stream_->enqueue(op);
  }

  buffer claim(uint64_t bytes) {
    auto out = dev_->allocate(bytes);
    if (!out)
      fail("no memory");
    claimed_.push_back(*out);
    return *out;
  }

  /// Of everything since the last time.
  void free_all() {
    wait();
    for (auto& x : claimed_)
      dev_->free(x);
    claimed_.clear();
  }

  tensor make(dtype type, uint32_t rows, uint32_t cols) {
    return dense(claim(uint64_t{rows} * cols * size_of(type)), type, rows,
                 cols);
  }

  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

  tensor numbers(uint32_t rows, uint32_t cols) {
    auto out = make(dtype::f32, rows, cols);
    std::vector<float> values(uint64_t{rows} * cols);
    for (auto& x : values)
      x = float(int32_t(next() >> 33) - (1 << 30)) * 0x1p-30f;
    put(out.mem, values.data(), values.size() * 4);
    return out;
  }

  activation operand_of(dtype type, const tensor& x) {
    activation out{make(type, x.rows, x.cols), {}};
    if (type == dtype::f8_e4m3)
      out.scales = make(dtype::f32, x.rows, num_scale_blocks(x.cols));
    enqueue(quantize{x, out});
    wait();
    return out;
  }

  weight make_weight(dtype type, uint32_t rows, uint32_t cols,
                     uint32_t groups = 1) {
    auto bytes = dev_->weight_bytes(type, rows, cols, groups);
    weight out{claim(bytes), type, rows, cols, groups};
    auto count = uint64_t{groups} * rows * cols * size_of(type);
    std::vector<std::byte> raw(count);
    for (uint64_t i = 0; i + 8 <= count; i += 8) {
      // Exponents in the middle, whatever the type; signs at random.
      auto x = (next() & 0x8f8f8f8f8f8f8f8full) | 0x3030303030303030ull;
      std::memcpy(&raw[i], &x, 8);
    }
    std::vector<float> scales(
      groups * num_scale_blocks(rows) * num_scale_blocks(cols), 0.01f);
    enqueue(pack_weight{raw.data(),
                        type == dtype::f8_e4m3 ? scales.data() : nullptr, out,
                        nullptr});
    wait();
    return out;
  }

  void put(buffer dst, const void* from, uint64_t bytes) {
    enqueue(copy_in{static_cast<const std::byte*>(from), dst.slice(0, bytes),
                    nullptr});
    wait();
  }

private:
  std::unique_ptr<device> dev_;
  std::unique_ptr<stream> stream_;
  std::vector<buffer> claimed_;
  uint64_t state_ = 88172645463325252;
};

struct job {
  std::string name;
  uint32_t rows;
  std::vector<operation> operations; ///< In turn, so that no cache has them.
  double peak = 0;                   ///< FLOP/s; 0: not of interest.
};

class table {
public:
  table(bench& b, const ceilings& limits, std::string only)
    : bench_(b), limits_(limits), only_(std::move(only)) {
    std::printf("%-30s %6s %9s %9s %8s %8s %6s %6s\n", "operation", "rows",
                "us", "host us", "GB/s", "TFLOP/s", "% mem", "% alu");
  }

  const ceilings& limits() const {
    return limits_;
  }

  bool wants(std::string_view name) const {
    return only_.empty() || name.find(only_) != name.npos;
  }

  void add(const job& j) {
    auto [time, host] = measure(j);
    auto c = cost_of(j.operations[0]);
    auto bytes = double(c.bytes) / time;
    auto flops = double(c.flops) / time;
    std::printf("%-30s %6u %9.1f %9.1f %8.0f %8.1f %6.1f", j.name.c_str(),
                j.rows, time * 1e6, host * 1e6, bytes * 1e-9, flops * 1e-12,
                100 * bytes / limits_.read_bytes);
    if (j.peak > 0)
      std::printf(" %6.1f", 100 * flops / j.peak);
    std::printf("\n");
    std::fflush(stdout);
  }

private:
  struct times {
    double all, host;
  };

  times run(const job& j, uint32_t count) {
    bench_.wait();
    auto start = now();
    for (uint32_t i = 0; i < count; ++i)
      bench_.enqueue(j.operations[turn_++ % j.operations.size()]);
    auto enqueued = now();
    bench_.wait();
    return {(now() - start) / count, (enqueued - start) / count};
  }

  /// The median of several runs of some milliseconds.
  times measure(const job& j) {
    run(j, uint32_t(j.operations.size()));
    auto once = run(j, uint32_t(j.operations.size())).all;
    auto count = uint32_t(std::clamp(0.01 / once, 2.0, 1000.0));
    std::vector<times> all;
    for (int i = 0; i < 5; ++i)
      all.push_back(run(j, count));
    std::sort(all.begin(), all.end(),
              [](auto& a, auto& b) { return a.all < b.all; });
    return all[all.size() / 2];
  }

  bench& bench_;
  ceilings limits_;
  std::string only_;
  size_t turn_ = 0;
};

void add_linear(bench& b, table& out, const char* name, dtype x_type,
                dtype w_type, uint32_t n, uint32_t k,
                std::vector<uint32_t> rows) {
  if (!out.wants(name))
    return;
  auto bytes = uint64_t{n} * k * size_of(w_type);
  auto copies = uint32_t(std::clamp<uint64_t>((256u << 20) / bytes, 1, 16));
  std::vector<weight> weights;
  for (uint32_t i = 0; i < copies; ++i)
    weights.push_back(b.make_weight(w_type, n, k));
  auto peak = x_type == dtype::f8_e4m3 ? out.limits().fp8_flops
                                       : out.limits().bf16_flops;
  for (auto m : rows) {
    auto x = b.operand_of(x_type, b.numbers(m, k));
    auto y = b.make(dtype::f32, m, n);
    job j{name, m, {}, peak};
    for (auto& w : weights)
      j.operations.push_back(linear{x, w, {}, y});
    out.add(j);
  }
  b.free_all();
}

void add_grouped_linear(bench& b, table& out) {
  if (!out.wants("grouped_linear"))
    return;
  auto w = b.make_weight(dtype::bf16, latent, nope, heads);
  for (auto m : {1u, 32u, 128u, 1024u}) {
    auto x = b.numbers(m, heads * nope);
    auto y = b.make(dtype::f32, m, heads * latent);
    out.add({"grouped_linear 128x(512,128)",
             m,
             {grouped_linear{x, nope, w, y}},
             out.limits().bf16_flops});
  }
  b.free_all();
}

/// `each` rows of each of `count` experts.
expert_mlp routed(bench& b, const std::vector<expert_weights>& experts,
                  uint32_t each, dtype type) {
  auto count = uint32_t(experts.size());
  auto rows = count * each;
  expert_mlp op;
  op.x = b.operand_of(type, b.numbers(rows, hidden));
  for (uint32_t e = 0; e < count; ++e)
    op.groups.push_back({experts[e], e * each, each});
  for (uint32_t i = 0; i < rows; ++i)
    op.row.push_back(i);
  op.gate = b.make(dtype::f32, rows, inner);
  op.up = b.make(dtype::f32, rows, inner);
  op.middle = b.operand_of(type, op.gate);
  op.out = b.make(dtype::bf16, rows, hidden);
  return op;
}

void add_experts(bench& b, table& out) {
  if (!out.wants("expert_mlp"))
    return;
  std::vector<expert_weights> experts;
  for (uint32_t e = 0; e < 16; ++e)
    experts.push_back({b.make_weight(dtype::f8_e4m3, inner, hidden),
                       b.make_weight(dtype::f8_e4m3, inner, hidden),
                       b.make_weight(dtype::f8_e4m3, hidden, inner)});
  for (auto each : {1u, 4u, 8u, 16u, 32u, 64u, 128u, 256u, 512u})
    out.add({"expert_mlp f8 16 experts",
             each,
             {routed(b, experts, each, dtype::f8_e4m3)},
             out.limits().fp8_flops});
  b.free_all();
}

std::vector<sequence_rows> sequences(uint32_t m, bool single, uint32_t position,
                                     uint32_t num_blocks) {
  std::vector<sequence_rows> out;
  auto table_of = [&](uint32_t first, uint32_t end) {
    auto blocks = std::make_shared<block_table>();
    for (uint32_t i = 0; i <= end / latent_cache::block_tokens; ++i)
      blocks->push_back((first + i * 7) % num_blocks);
    return blocks;
  };
  if (single)
    out.push_back({0, m, position, table_of(0, position + m)});
  for (uint32_t t = 0; !single && t < m; ++t)
    out.push_back({t, 1, position, table_of(t * 61, position)});
  return out;
}

latent_cache make_cache(bench& b, uint32_t num_blocks) {
  constexpr auto width = latent + rope;
  latent_cache cache;
  cache.type = dtype::bf16;
  cache.latent = latent;
  cache.rope = rope;
  cache.block_stride = uint64_t{latent_cache::block_tokens} * width * 2;
  cache.mem = b.claim(cache.block_stride * num_blocks);
  std::vector<uint16_t> values(cache.mem.bytes / 2);
  for (auto& x : values)
    x = uint16_t((b.next() & 0x807f) | 0x3e00 | (b.next() & 0x80));
  b.put(cache.mem, values.data(), cache.mem.bytes);
  return cache;
}

void add_attention(bench& b, table& out) {
  constexpr uint32_t num_blocks = 8192; // 524,288 tokens, 604 MB
  auto cache = make_cache(b, num_blocks);
  auto attend = [&](const char* name, uint32_t m, bool single,
                    uint32_t position) {
    mla_attention op;
    op.q_latent = b.numbers(m, heads * latent);
    op.q = b.numbers(m, heads * (nope + rope));
    op.heads = heads;
    op.q_stride = nope + rope;
    op.q_rope_skip = nope;
    op.scale = 0.07f;
    op.cache = cache;
    op.sequences = sequences(m, single, position, num_blocks);
    op.out = b.make(dtype::f32, m, heads * latent);
    out.add({name, m, {op}, out.limits().bf16_flops});
  };
  if (out.wants("mla_attention")) {
    for (auto m : {1u, 32u, 128u})
      attend("mla_attention at 4096", m, false, 4095);
    attend("mla_attention at 1024", 128, false, 1023);
  }
  if (out.wants("mha_attention")) {
    auto k_b = b.make_weight(dtype::bf16, latent, nope, heads);
    auto v_b = b.make_weight(dtype::bf16, nope, latent, heads);
    for (auto m : {512u, 2048u, 4096u}) {
      mha_attention op;
      op.q = b.numbers(m, heads * (nope + rope));
      op.heads = heads;
      op.q_stride = nope + rope;
      op.k_b = k_b;
      op.v_b = v_b;
      op.scale = 0.07f;
      op.cache = cache;
      op.sequences = sequences(m, true, 0, num_blocks);
      op.out = b.make(dtype::f32, m, heads * nope);
      out.add({"mha_attention prompt", m, {op}, out.limits().bf16_flops});
    }
  }
  b.free_all();
}

void add_rows(bench& b, table& out, uint32_t m) {
  auto x = b.numbers(m, hidden);
  auto codes = b.operand_of(dtype::f8_e4m3, x);
  auto one = b.numbers(1, hidden);
  router route;
  route.x = x;
  route.w = b.make_weight(dtype::bf16, 256, hidden);
  route.bias = b.numbers(1, 256);
  route.num_groups = 8;
  route.topk_group = 4;
  route.top_k = top_k;
  route.logits = b.make(dtype::f32, m, 256);
  route.experts = b.make(dtype::i32, m, top_k);
  route.weights = b.make(dtype::f32, m, top_k);
  combine join;
  join.rows = b.make(dtype::bf16, m * top_k, hidden);
  for (uint32_t i = 0; i < m * top_k; ++i)
    join.row_of.push_back(i * 7 % (m * top_k));
  join.weights = b.numbers(m, top_k);
  join.shared = b.numbers(m, hidden);
  join.residual = b.numbers(m, hidden);
  std::vector<uint32_t> idx(m);
  for (uint32_t i = 0; i < m; ++i)
    idx[i] = i * 7 % m;
  auto gate = b.numbers(m, inner);
  auto host = b.dev().allocate_host(uint64_t{m} * hidden * 4);
  std::vector<operation> all = {
    rms_norm{x, one, 1e-6f, {}, codes},
    quantize{x, codes},
    swiglu{gate, gate, b.operand_of(dtype::f8_e4m3, gate)},
    route,
    join,
    gather_rows{x, idx, b.make(dtype::f32, m, hidden)},
    pack_rows{codes, idx, host->data(), host},
    copy_in{host->data(), x.mem, host},
    copy_out{x.mem, host->data(), host},
  };
  for (auto& op : all)
    if (out.wants(name_of(op)))
      out.add({std::string(name_of(op)), m, {op}});
  b.free_all();
}

void add_draws(bench& b, table& out) {
  if (!out.wants("sample"))
    return;
  for (auto m : {1u, 64u, 256u})
    for (float top_p : {0.95f, 1.0f}) {
      sample op{b.numbers(m, vocab), {}, b.make(dtype::i32, m, 1)};
      for (uint32_t t = 0; t < m; ++t)
        op.draws.push_back({.row = t,
                            .num_choices = vocab,
                            .temperature = 0.6f,
                            .top_p = top_p,
                            .point = b.next() >> 11});
      out.add({top_p < 1 ? "sample 0.6 0.95" : "sample 0.6", m, {op}});
    }
  b.free_all();
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    fail("usage: gpu_bench READ_GB_PER_S BF16_TFLOPS FP8_TFLOPS [operation]");
  ceilings limits{std::stod(argv[1]) * 1e9, std::stod(argv[2]) * 1e12,
                  std::stod(argv[3]) * 1e12};
  std::string why;
  for (auto& gpu : describe_gpus(why))
    std::printf("%s\n", gpu.c_str());
  bench b;
  table out(b, limits, argc > 4 ? argv[4] : "");
  using enum dtype;
  std::vector<uint32_t> usual{1, 16, 32, 128, 512, 4096};
  add_linear(b, out, "linear f8 1536x7168", f8_e4m3, f8_e4m3, q_lora, hidden,
             usual);
  add_linear(b, out, "linear f8 24576x1536", f8_e4m3, f8_e4m3, 24576, q_lora,
             usual);
  add_linear(b, out, "linear f8 7168x16384", f8_e4m3, f8_e4m3, hidden, 16384,
             usual);
  add_linear(b, out, "linear bf16 7168x7168", bf16, bf16, hidden, hidden,
             usual);
  add_linear(b, out, "linear f32 x bf16 head", f32, bf16, vocab, hidden,
             {1, 32, 128});
  add_grouped_linear(b, out);
  add_experts(b, out);
  add_attention(b, out);
  for (auto m : {1u, 128u, 4096u})
    add_rows(b, out, m);
  add_draws(b, out);
  return 0;
}
