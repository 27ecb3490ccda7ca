/// What virtual worlds cost: actor messages and events per second with
/// arithmetic off, processor time of a seed with random faults and everything
/// computed, and of the start of a node.
///
///   simulation_bench MODEL_DIR [seeds] [rounds]
///
/// One thread. Of rounds the quickest is printed: what is slower was disturbed.

#include "actors/simulation_batch.hpp"
#include "runtime/sim/idle_executor.hpp"
#include "runtime/sim/oracle.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <numeric>

namespace troupe {

namespace {

constexpr uint32_t num_nodes = 4, num_ranks = 4, num_workers = 8;

/// Of this process.
double processor_seconds() {
  timespec x;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &x) == 0);
  return double(x.tv_sec) + double(x.tv_nsec) * 1e-9;
}

template <class Fn>
double seconds_of(Fn fn) {
  auto start = processor_seconds();
  fn();
  return processor_seconds() - start;
}

simulation_options options_of(const std::shared_ptr<shared_model>& model,
                              const char* load) {
  simulation_options out;
  out.company.cluster = local(num_nodes, num_ranks, num_workers);
  out.company.cluster.max_model_len = 256;
  out.company.model = model;
  auto spec = parse_load(load);
  CHECK(spec);
  out.what.load = make_load(*spec, 1, model->config().vocab_size);
  return out;
}

std::shared_ptr<shared_model> open(const char* dir,
                                   std::shared_ptr<kernels::executor> how) {
  auto out = shared_model::open(dir, kernels::make_inline_device(0, how));
  if (!out) {
    std::fprintf(stderr, "%s\n", out.why().message.c_str());
    std::exit(1);
  }
  return *out;
}

struct quickest {
  double seconds = 0;
  simulation_result result;
};

quickest run(const simulation_options& options, uint32_t rounds) {
  quickest out;
  for (uint32_t i = 0; i < rounds; ++i) {
    auto seconds = seconds_of([&] { out.result = simulate(1, options); });
    if (i == 0 || seconds < out.seconds)
      out.seconds = seconds;
  }
  return out;
}

void bench_messages(const char* dir, uint32_t rounds) {
  auto model = open(dir, make_idle_executor());
  auto busy = run(
    options_of(model, "streams=32,prompt=4-48,output=32-64,requests=1000"),
    rounds);
  auto& events = busy.result.events;
  auto messages = events[size_t(trace_kind::message_run)];
  auto all = std::accumulate(events.begin(), events.end(), uint64_t{0});
  std::printf("arithmetic off: %.0f messages/s, %.0f events/s (%.2f s, %s)\n",
              double(messages) / busy.seconds, double(all) / busy.seconds,
              busy.seconds, busy.result.holds() ? "held" : "FAILED");
  auto calm = options_of(model, "requests=1");
  calm.what.load.requests.clear();
  std::printf("start and end of a node: %.2f ms\n",
              run(calm, rounds).seconds / num_nodes * 1e3);
}

void bench_faults(const char* dir, uint32_t num_seeds) {
  auto make = [] { return kernels::make_cpu_executor({}); };
  auto model = open(dir, make());
  simulation_batch_options options;
  options.base = options_of(model,
                            "streams=8,prompt=4-48,output=2-16,requests=32");
  oracle_options oracle;
  oracle.max_model_len = options.base.company.cluster.max_model_len;
  oracle.num_choices = *model->num_choices();
  auto expected = ask_plain_path(model->source(), make(), oracle,
                                 options.base.what.load);
  CHECK(expected);
  options.base.expected = std::move(*expected);
  options.make_compute = make;
  options.random_faults = true;
  simulation_batch batch{std::move(options), 1};
  uint32_t num_held = 0;
  auto seconds = seconds_of([&] {
    batch.run_all(1, num_seeds, [&](auto& x) { num_held += x.holds(); });
  });
  std::printf("a seed with faults, computed: %.3f s (%u of %u held)\n",
              seconds / num_seeds, num_held, num_seeds);
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: simulation_bench MODEL_DIR [seeds] [rounds]\n");
    return 2;
  }
  auto number = [&](int i, uint32_t otherwise) {
    return argc > i ? static_cast<uint32_t>(std::atoi(argv[i])) : otherwise;
  };
  troupe::bench_messages(argv[1], std::max(1u, number(3, 5)));
  troupe::bench_faults(argv[1], std::max(1u, number(2, 100)));
  return 0;
}
