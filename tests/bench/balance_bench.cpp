/// The expert balancer beside EPLB, on real loads and on real routed batches.
///
///   balance_bench TRACES_DIR
///
/// TRACES_DIR has load_NAME.csv files (runtime/balance/load_table.hpp) and
/// route_NAME.bin files: "TRPROUTE", then little-endian u32 tokens, layers, k,
/// experts, sequences, u32 lengths[sequences], u8 ids[tokens][layers][k].
/// Times are CPU time of one thread, the least of several runs: others on the
/// machine make them longer, never shorter.

#include "runtime/balance/eplb.hpp"
#include "runtime/balance/expert_balancer.hpp"
#include "runtime/balance/load_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>

namespace troupe::balance {

namespace {

constexpr int num_runs = 9;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

double percent(const layout_shape& shape, const layer_layout& x,
               std::span<const double> loads) {
  return 100 * balance_of(worker_loads(shape, x, loads));
}

using layouts = std::vector<layer_layout>;

/// What a balancer makes of all layers.
struct outcome {
  layouts layers;
  double milliseconds = 1e9;

  double mean(const layout_shape& shape, const load_table& loads) const {
    double sum = 0;
    for (size_t i = 0; i < layers.size(); ++i)
      sum += percent(shape, layers[i], loads.loads[i]);
    return sum / double(layers.size());
  }
};

template <class Plan>
outcome run(const load_table& loads, Plan plan) {
  outcome out;
  for (int i = 0; i < num_runs; ++i) {
    layouts layers;
    auto start = cpu_seconds();
    for (size_t layer = 0; layer < loads.layers.size(); ++layer)
      layers.push_back(plan(layer));
    out.milliseconds = std::min(out.milliseconds,
                                1e3 * (cpu_seconds() - start));
    out.layers = std::move(layers);
  }
  return out;
}

outcome run_eplb(const layout_shape& shape, const load_table& loads) {
  return run(loads,
             [&](size_t i) { return balance_eplb(shape, loads.loads[i]); });
}

outcome run_ours(const layout_shape& shape, const load_table& loads,
                 const layouts* from = nullptr,
                 const balance_options& options = {}) {
  return run(loads, [&](size_t i) {
    layer_state x{shape, loads.loads[i], {}};
    if (from)
      x.present = (*from)[i];
    return expert_balancer{options}.plan(x).layout;
  });
}

uint64_t moves(const layout_shape& shape, const layouts& from,
               const layouts& to) {
  uint64_t out = 0;
  for (size_t i = 0; i < to.size(); ++i)
    out += count_moves(shape, from[i].experts, to[i].experts);
  return out;
}

std::vector<layout_shape> shapes_for(uint32_t num_experts) {
  if (num_experts == 64)
    return {{64, 72, 36, 9, 8}, {64, 72, 8, 2, 8}};
  if (num_experts == 128)
    return {{128, 144, 72, 9, 8}, {128, 144, 16, 4, 8}};
  return {{num_experts, 288, 144, 18, 8}, {num_experts, 288, 32, 4, 8}};
}

void compare(const std::string& name, const layout_shape& shape,
             const load_table& loads, const outcome& eplb,
             const outcome& ours) {
  double bound = 0, least = 100;
  int behind = 0;
  for (size_t i = 0; i < loads.layers.size(); ++i) {
    auto& w = loads.loads[i];
    auto mean = std::accumulate(w.begin(), w.end(), 0.0) / shape.num_workers;
    auto possible = 100 * mean / least_largest_load(shape, w);
    auto a = percent(shape, eplb.layers[i], w);
    auto b = percent(shape, ours.layers[i], w);
    bound += possible / double(loads.layers.size());
    least = std::min(least, 100 * b / possible);
    behind += b < a * (1 - 1e-9);
  }
  auto a = eplb.mean(shape, loads), b = ours.mean(shape, loads);
  std::printf("%-32s %4u %6.2f %6.2f %+6.2f %6.2f %6.2f %6d %6.1f %6.1f\n",
              name.c_str(), shape.num_workers, a, b, b - a, bound, least,
              behind, eplb.milliseconds, ours.milliseconds);
}

using sources = std::map<std::string, load_table>;

/// All sources of a file.
sources read_all(const std::filesystem::path& file) {
  sources out;
  std::ifstream in{file};
  std::string line;
  while (std::getline(in, line)) {
    auto name = line.substr(0, line.find(','));
    if (line.starts_with('#') || name == "source" || out.contains(name))
      continue;
    auto loads = read_loads(file, name);
    if (!loads) {
      std::fprintf(stderr, "%s\n", loads.why().message.c_str());
      std::exit(1);
    }
    out.emplace(name, std::move(*loads));
  }
  return out;
}

void compare_all(const sources& all) {
  for (auto& [name, loads] : all)
    for (auto& shape : shapes_for(loads.num_experts))
      compare(name, shape, loads, run_eplb(shape, loads),
              run_ours(shape, loads));
}

// -- drift --------------------------------------------------------------------

void print_drift(const char* how, const layout_shape& shape,
                 const load_table& loads, const outcome& x, uint64_t copies,
                 uint64_t theirs) {
  std::printf("    %-28s %6.2f  %6llu copies (x %.1f fewer) %6.1f ms\n", how,
              x.mean(shape, loads), static_cast<unsigned long long>(copies),
              copies > 0 ? double(theirs) / double(copies) : 0, x.milliseconds);
}

void drift(const sources& all, const std::string& from, const std::string& to) {
  auto& old = all.at(from);
  auto& now = all.at(to);
  for (auto& shape : shapes_for(now.num_experts)) {
    auto eplb = run_eplb(shape, now), ours = run_ours(shape, old);
    auto theirs = moves(shape, run_eplb(shape, old).layers, eplb.layers);
    std::printf("%s -> %s on %u GPUs: %.2f if nothing is done\n", from.c_str(),
                to.c_str(), shape.num_workers, ours.mean(shape, now));
    print_drift("EPLB", shape, now, eplb, theirs, theirs);
    auto plan = run_ours(shape, now, &ours.layers);
    print_drift("one plan", shape, now, plan,
                moves(shape, ours.layers, plan.layers), theirs);
    plan = run_ours(shape, now, &ours.layers, {0.0002, 10});
    print_drift("as long as copies pay", shape, now, plan,
                moves(shape, ours.layers, plan.layers), theirs);
  }
}

// -- routed batches -----------------------------------------------------------

struct routes {
  uint32_t tokens = 0, layers = 0, k = 0, experts = 0;
  std::vector<uint8_t> ids;

  load_table count(uint32_t first, uint32_t last) const {
    load_table out{experts, {}, {}};
    for (uint32_t layer = 0; layer < layers; ++layer) {
      out.layers.push_back(layer);
      out.loads.emplace_back(experts);
      for (auto t = first; t < last; ++t)
        for (uint32_t i = 0; i < k; ++i)
          ++out.loads.back()[ids[(size_t{t} * layers + layer) * k + i]];
    }
    return out;
  }
};

routes read_routes(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::string all{std::istreambuf_iterator<char>{in}, {}};
  uint32_t head[5];
  if (all.size() < 28 || !all.starts_with("TRPROUTE"))
    return {};
  std::memcpy(head, all.data() + 8, sizeof(head));
  auto skip = 28 + size_t{head[4]} * 4;
  routes out{head[0], head[1], head[2], head[3], {}};
  out.ids.assign(all.begin() + std::ptrdiff_t(skip), all.end());
  return out;
}

/// Rows of each worker when whole rows go to replicas in their turn.
std::vector<double> whole_rows(const layout_shape& shape, const layer_layout& x,
                               std::span<const double> rows) {
  std::vector<double> sum(shape.num_experts), out(shape.num_workers);
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto e = x.experts[s];
    auto before = std::round(sum[e] * rows[e]);
    sum[e] += x.shares[s];
    out[shape.worker_of(s)] += std::round(sum[e] * rows[e]) - before;
  }
  return out;
}

/// Plans from the first half of the tokens, judged by batches of the second.
void judge(const std::string& name, const routes& x, uint32_t batch) {
  auto half = x.tokens / 2;
  auto seen = x.count(0, half);
  for (auto& shape : shapes_for(x.experts)) {
    auto eplb = run_eplb(shape, seen), ours = run_ours(shape, seen);
    double sums[3] = {};
    int count = 0;
    for (auto t = half; t + batch <= x.tokens; t += batch) {
      auto rows = x.count(t, t + batch);
      for (uint32_t i = 0; i < x.layers; ++i, ++count) {
        auto& w = rows.loads[i];
        sums[0] += balance_of(whole_rows(shape, eplb.layers[i], w));
        sums[1] += balance_of(whole_rows(shape, ours.layers[i], w));
        slot_flow flow{shape, ours.layers[i].experts, w};
        flow.solve();
        sums[2] += balance_of(whole_rows(shape, flow.layout(), w));
      }
    }
    std::printf("%-32s %4u %6u %6.2f %6.2f %6.2f\n", name.c_str(),
                shape.num_workers, batch, 100 * sums[0] / count,
                100 * sums[1] / count, 100 * sums[2] / count);
  }
}

void judge_all(const std::filesystem::path& folder) {
  std::printf("\nmean over largest rows of a GPU in batches, plans made of "
              "earlier tokens\n%-32s %4s %6s %6s %6s %6s\n",
              "routes", "GPUs", "tokens", "EPLB", "ours",
              "shares of each "
              "batch");
  for (auto name : {"intent", "law", "summary"}) {
    auto x
      = read_routes(folder / ("route_dsv2lite_" + std::string{name} + ".bin"));
    for (uint32_t batch : {256u, 1024u})
      if (x.tokens > 0)
        judge(name, x, batch);
  }
}

int main(const std::filesystem::path& folder) {
  std::printf("%-32s %4s %6s %6s %6s %6s %6s %6s %6s %6s\n", "loads", "GPUs",
              "EPLB", "ours", "gain", "bound", "least", "behind", "ms", "ms");
  std::map<std::string, sources> files;
  for (auto name : {"r1_like", "glm52", "qwen3_30b", "dsv2lite"}) {
    auto file = folder / ("load_" + std::string{name} + ".csv");
    if (!std::filesystem::exists(file))
      continue;
    files[name] = read_all(file);
    compare_all(files[name]);
  }
  std::printf("least: of a layer, in per cent of its bound; behind: layers in "
              "which EPLB is better; ms: of all layers, EPLB and ours\n\n");
  if (auto& r1 = files["r1_like"]; !r1.empty())
    for (std::string kind : {"in1000out1000", "in500out1500", "in1800out100"})
      drift(r1, "prefill_" + kind, "decode_" + kind);
  if (auto& tasks = files["dsv2lite"]; !tasks.empty()) {
    drift(tasks, "intent", "law");
    drift(tasks, "law", "summary");
    drift(tasks, "summary", "intent");
  }
  judge_all(folder);
  return 0;
}

} // namespace

} // namespace troupe::balance

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: balance_bench TRACES_DIR\n");
    return 2;
  }
  return troupe::balance::main(argv[1]);
}
