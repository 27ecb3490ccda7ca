/// What the actors cost: tokens per second of one sequence through the plain
/// path, through a company in one process and through one of four processes,
/// and microseconds per MoE layer that lie between them.
///
///   company_bench MODEL_DIR [tokens] [rounds]
///
/// Rounds are interleaved; medians are printed.

#include "actors/company.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/plain_forward.hpp"
#include "tests/cluster/child_process.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>

namespace troupe {

namespace {

using seconds = std::chrono::duration<double>;

double now() {
  return seconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

generation_request make_request(uint32_t num_tokens) {
  generation_request out;
  out.prompt = {0, 100, 200, 300, 400, 500, 600, 700};
  out.max_tokens = num_tokens;
  out.sampling.temperature = 0;
  out.ignore_eos = true;
  return out;
}

/// Seconds from the first token to the last.
double run(company& x, const generation_request& request) {
  std::mutex mutex;
  std::condition_variable changed;
  double first = 0;
  double last = 0;
  bool done = false;
  auto id = x.submit(request, [&](const generation_event& event) {
    std::lock_guard lock{mutex};
    last = now();
    if (first == 0)
      first = last;
    done = event.finish != finish_reason::none;
    changed.notify_all();
  });
  if (!id)
    return 0;
  std::unique_lock lock{mutex};
  changed.wait_for(lock, std::chrono::minutes{5}, [&] { return done; });
  return last - first;
}

double run(plain_forward& x, const generation_request& request) {
  double first = 0;
  auto answer = x.generate(request, [&](int32_t) {
    if (first == 0)
      first = now();
  });
  return answer ? now() - first : 0;
}

struct contender {
  const char* name;
  std::function<double()> run;
  std::vector<double> seconds = {};

  double median() const {
    auto sorted = seconds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

std::unique_ptr<company> start(const std::string& model, topology cluster,
                               uint32_t threads,
                               std::vector<child_process>& nodes) {
  company_options options;
  cluster.max_model_len = 1024;
  cluster.limits.num_kv_blocks = 64;
  options.cluster = cluster;
  options.model_dir = model;
  options.node.num_threads = threads;
  auto made = company::start(options);
  if (!made)
    return nullptr;
  auto address = (*made)->address();
  for (size_t n = 1; n < cluster.nodes.size(); ++n)
    nodes.push_back(child_process{
      {"node", "--join", address.host + ":" + std::to_string(address.port),
       "--name", cluster.nodes[n].name, "--threads", "1"}});
  if (auto ok = (*made)->wait_until_ready(std::chrono::minutes{5}); !ok) {
    std::fprintf(stderr, "%s\n", ok.why().message.c_str());
    return nullptr;
  }
  return std::move(*made);
}

int bench(const std::string& model, uint32_t num_tokens, uint32_t rounds) {
  auto request = make_request(num_tokens);
  kernels::cpu_options cpu;
  cpu.num_threads = 2;
  auto dev = kernels::make_cpu_device(cpu);
  auto source = checkpoint::open(model);
  if (!source)
    return 1;
  plain_options options;
  options.max_model_len = 1024;
  auto plain = plain_forward::make(*dev, *source, options);
  std::vector<child_process> nodes;
  auto one = start(model, single_process(1, 1), 2, nodes);
  auto eight = start(model, single_process(1, 8), 2, nodes);
  auto four = start(model, local(4, 1, 8), 1, nodes);
  if (!plain || !one || !eight || !four)
    return 1;
  std::vector<contender> all = {
    {"plain path", [&] { return run(**plain, request); }},
    {"actors, EP1, one process", [&] { return run(*one, request); }},
    {"actors, EP8, one process", [&] { return run(*eight, request); }},
    {"actors, EP8, four processes", [&] { return run(*four, request); }},
  };
  for (uint32_t i = 0; i <= rounds; ++i)
    for (auto& x : all)
      if (auto s = x.run(); i > 0) // the first round warms up
        x.seconds.push_back(s);
  auto layers = (*plain)->config().num_moe_layers();
  auto steps = num_tokens - 1.0;
  std::printf("%-30s %10s %12s %22s\n", "", "tokens/s", "us/token",
              "us/MoE layer over plain");
  for (auto& x : all)
    std::printf("%-30s %10.1f %12.1f %22.1f\n", x.name, steps / x.median(),
                x.median() / steps * 1e6,
                (x.median() - all[0].median()) / steps / layers * 1e6);
  return 0;
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: company_bench MODEL_DIR [tokens] [rounds]\n");
    return 2;
  }
  auto number = [&](int i, uint32_t otherwise) {
    return argc > i ? static_cast<uint32_t>(std::atoi(argv[i])) : otherwise;
  };
  return troupe::bench(argv[1], number(2, 200), number(3, 7));
}
