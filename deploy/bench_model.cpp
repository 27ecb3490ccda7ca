#include "deploy/bench_model.hpp"

#include "deploy/device_flag.hpp"
#include "deploy/process_memory.hpp"
#include "deploy/progress.hpp"
#include "deploy/running_company.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe {

namespace {

using kernels::machine_rates;

double seconds_of(const clock& time) {
  return std::chrono::duration<double>(time.now().time_since_epoch()).count();
}

/// Random tokens, others for every sequence and case, the same in every round.
std::vector<int32_t> make_prompt(uint32_t length, uint64_t seed,
                                 const model_config& config) {
  auto state = seed * 0x9e3779b97f4a7c15 + 1;
  std::vector<int32_t> out(length);
  for (auto& id : out) {
    state = state * 6364136223846793005 + 1442695040888963407;
    id = static_cast<int32_t>((state >> 33) % config.vocab_size);
  }
  return out;
}

prompt_list make_prompts(const bench_case& x, const model_config& config) {
  prompt_list out;
  if (x.is_prefill())
    for (uint32_t i = 0; i < x.batch; ++i)
      out.push_back(
        make_prompt(x.prompt, uint64_t{i} << 32 | x.prompt, config));
  else
    for (uint32_t i = 0; i < x.batch; ++i)
      out.push_back(make_prompt(std::max(1u, x.depth),
                                uint64_t{x.depth} << 32 | x.batch << 16 | i,
                                config));
  return out;
}

/// Everything that a run needs, alive for all rounds.
class bench {
public:
  bench(const bench_options& options, const clock& time)
    : time_(time),
      pool_(std::make_shared<kernels::thread_pool>(options.num_threads)),
      probe_(*pool_, [&time] { return seconds_of(time); }),
      progress_("bench", false) {
    report_.options = options;
  }

  result<void> load();
  result<void> warm_up();
  result<void> run_round(uint32_t round, bool counts);
  result<bench_report> finish();

private:
  result<void> load_plain(const checkpoint& source, uint64_t positions);
  result<void> plan();
  result<void> load_actors();
  void measure_work();
  result<void> run(bench_case& x, machine_rates rates, uint32_t round);
  result<void> run_prefill(bench_case& x, bench_series& to,
                           const machine_rates& rates);
  result<void> run_decode(bench_case& x, bench_series& to,
                          const machine_rates& rates);
  result<void> run_plain(bench_case& x, const machine_rates& rates);
  double floor_of(const step_work& work, const machine_rates& rates,
                  bool* memory_bound = nullptr) const;
  step_work decoding(const bench_case& x, double mean_position) const;

  /// CPUs may have BF16 dot products that are slower than FP32, and then the
  /// device leaves them alone.
  bool uses_dot() const {
    return report_.options.activations != precision::fp32
           && report_.target.ends_with("bf16");
  }

  /// Of decoding.
  uint32_t max_batch() const {
    uint32_t out = 1;
    for (auto& x : report_.cases)
      if (!x.is_prefill())
        out = std::max(out, x.batch);
    return out;
  }

  const clock& time_;
  std::shared_ptr<kernels::thread_pool> pool_;
  kernels::machine_probe probe_;
  progress_display progress_;
  bench_report report_;
  model_config config_;
  std::optional<model_work> work_;
  std::unique_ptr<kernels::device> device_;
  std::unique_ptr<plain_forward> plain_;
  std::vector<running_company> running_; ///< As report_.companies.
  std::vector<double> read_, fma_, dot_; ///< Rates of all probes.
};

result<void> bench::load() {
  auto& o = report_.options;
  if (auto ok = plan(); !ok)
    return ok;
  auto source = checkpoint::open(report_.cluster.model);
  if (!source)
    return source.why();
  auto& config = source->config();
  if (!config)
    return config.why();
  config_ = *config;
  auto positions = most_positions(o, report_.cases);
  if (positions > config_.max_position_embeddings)
    return failure{errc::context_too_long,
                   "the longest case takes " + std::to_string(positions)
                     + " positions and the model has "
                     + std::to_string(config_.max_position_embeddings)};
  work_.emplace(config_, summarize(*source, config_), o.activations);
  report_.num_moe_layers = config_.num_moe_layers();
  node_options chosen;
  if (auto ok = choose_device(o.cluster.device, chosen); !ok)
    return ok;
  if (chosen.device || chosen.target == "reference")
    return failure{errc::invalid_input, "what is measured is a CPU device, and "
                                          + o.cluster.device + " is none"};
  kernels::cpu_options cpu;
  cpu.num_threads = o.num_threads;
  cpu.pool = pool_;
  cpu.target = chosen.target;
  device_ = kernels::make_cpu_device(cpu);
  report_.target = device_->target();
  measure_work();
  if (o.with_plain)
    if (auto ok = load_plain(*source, positions); !ok)
      return ok;
  auto& load = report_.load;
  for (auto& name : source->names())
    load.bytes += source->find(name)->num_bytes;
  auto before = resident_bytes();
  auto start = seconds_of(time_);
  auto ok = load_actors();
  load.seconds = seconds_of(time_) - start;
  load.peak_bytes = peak_resident_bytes() - before;
  return ok;
}

/// Who runs what, from the flags alone.
result<void> bench::plan() {
  auto& o = report_.options;
  auto cluster = o.cluster.cluster();
  if (!cluster)
    return cluster.why();
  if (o.with_bound && o.cluster.links.empty())
    return failure{errc::invalid_input, "--bound compares with links that are "
                                        "not emulated, so it needs "
                                        "--emulate-link"};
  auto has_rate = [](auto& x) { return x.model.bytes_per_second > 0; };
  if (o.with_bound && std::ranges::any_of(o.cluster.links, has_rate))
    return failure{errc::invalid_input, "--bound knows what latency and jitter "
                                        "allow, not what a rate does"};
  report_.cluster = *cluster;
  o.activations = cluster->activations;
  auto& all = report_.companies;
  all = list_companies(o);
  if (all.size() > 1 && o.cluster.num_nodes == 1 && cluster->nodes.size() > 1)
    return failure{errc::invalid_input,
                   "the nodes of a topology join one company, and here there "
                   "would be "
                     + std::to_string(all.size())};
  if (all.size() > 1 && !o.cluster.trace_file.empty())
    return failure{errc::invalid_input,
                   "--trace is of one company, and here there would be "
                     + std::to_string(all.size())};
  report_.cases = list_cases(o, all, cluster->num_ranks());
  for (size_t i = 0; i < all.size(); ++i)
    if (auto ok = claim_for(all[i], i, o, report_.cases, cluster->num_ranks());
        !ok)
      return ok;
  return {};
}

result<void> bench::load_plain(const checkpoint& source, uint64_t positions) {
  auto& o = report_.options;
  plain_options options;
  options.activations = o.activations;
  options.chunk = max_rows(o, max_batch());
  options.max_sequences = max_batch();
  options.max_model_len = static_cast<uint32_t>(positions);
  auto made = plain_forward::make(
    *device_, source, options, [&](uint64_t done, uint64_t total) {
      progress_.show("loading, plain path", done, total);
    });
  if (!made)
    return made.why();
  plain_ = std::move(*made);
  return {};
}

result<void> bench::load_actors() {
  for (auto& x : report_.companies) {
    auto made = start_company(x.flags);
    if (!made)
      return made.why();
    running_.push_back(std::move(*made));
    if (auto ok = wait_until_ready(running_.back(), nullptr); !ok)
      return ok;
  }
  return {};
}

void bench::measure_work() {
  auto& o = report_.options;
  auto rows = max_rows(o, max_batch());
  for (auto& x : report_.cases)
    if (x.is_prefill()) {
      auto once = work_->prompt(x.prompt, rows);
      auto n = double(x.batch);
      x.work = {once.experts * n, once.weight_bytes * n, once.cache_bytes * n,
                once.flops * n};
    } else {
      x.work = decoding(x, std::max(1u, x.depth) + (o.num_steps - 1) / 2.0);
    }
}

step_work bench::decoding(const bench_case& x, double mean_position) const {
  auto once = work_->step({x.batch, 1, mean_position, x.batch});
  auto n = x.steps;
  return {once.experts * n, once.weight_bytes * n, once.cache_bytes * n,
          once.flops * n};
}

// -- rounds -------------------------------------------------------------------

/// Every way once, so that all code and memory has been touched.
result<void> bench::warm_up() {
  bench_case x;
  x.steps = std::min(8u, report_.options.num_steps);
  prompt_list prompts{make_prompt(1, 1, config_)};
  auto steps = static_cast<uint32_t>(x.steps);
  for (auto& each : running_)
    if (auto ok = service_runs{*each.serving, time_}.decode(prompts, steps,
                                                            steps + 1);
        !ok)
      return ok.why();
  if (plain_)
    if (auto ok = plain_runs{*plain_, time_}.decode(prompts, steps); !ok)
      return ok.why();
  return {};
}

double bench::floor_of(const step_work& work, const machine_rates& rates,
                       bool* memory_bound) const {
  auto peak = uses_dot() ? rates.dot_flops : rates.fma_flops;
  auto reading = work.bytes() / rates.read_bytes;
  auto computing = peak > 0 ? work.flops / peak : 0;
  if (memory_bound)
    *memory_bound = reading >= computing;
  return std::max(reading, computing);
}

/// A round that does not count is forgotten.
result<void> bench::run_round(uint32_t round, bool counts) {
  auto rates = probe_.measure(3);
  fma_.push_back(rates.fma_flops);
  dot_.push_back(rates.dot_flops);
  auto& cases = report_.cases;
  auto which = counts ? "round " + std::to_string(round + 1) + " of "
                          + std::to_string(report_.options.rounds)
                      : std::string{"a round that does not count"};
  for (size_t i = 0; i < cases.size(); ++i) {
    std::fprintf(stderr, "bench: %s, case %zu of %zu: %s\n", which.c_str(),
                 i + 1, cases.size(), cases[i].name().c_str());
    auto before = cases[i];
    if (auto ok = run(cases[i], rates, round); !ok)
      return ok;
    if (!counts)
      cases[i] = std::move(before);
  }
  return {};
}

/// Another company begins in each round.
result<void> bench::run(bench_case& x, machine_rates rates, uint32_t round) {
  rates.read_bytes = probe_.read_bytes(3);
  read_.push_back(rates.read_bytes);
  for (size_t i = 0; i < x.actors.size(); ++i) {
    auto& to = x.actors[(round + i) % x.actors.size()];
    auto ok = x.is_prefill() ? run_prefill(x, to, rates)
                             : run_decode(x, to, rates);
    if (!ok)
      return ok;
  }
  return plain_ ? run_plain(x, rates) : result<void>{};
}

result<void> bench::run_prefill(bench_case& x, bench_series& to,
                                const machine_rates& rates) {
  auto& serving = *running_[to.company].serving;
  auto time = service_runs{serving, time_}.prefill(make_prompts(x, config_));
  if (!time)
    return time.why();
  to.seconds.push_back(*time);
  to.floors.push_back(floor_of(x.work, rates, &x.memory_bound));
  return {};
}

result<void> bench::run_decode(bench_case& x, bench_series& to,
                               const machine_rates& rates) {
  auto& o = report_.options;
  auto& serving = *running_[to.company].serving;
  auto time = service_runs{serving, time_}.decode(
    make_prompts(x, config_), o.num_steps, answer_room(o, x));
  if (!time)
    return time.why();
  to.seconds.push_back(time->seconds);
  to.floors.push_back(
    floor_of(decoding(x, time->mean_position), rates, &x.memory_bound));
  return {};
}

result<void> bench::run_plain(bench_case& x, const machine_rates& rates) {
  auto prompts = make_prompts(x, config_);
  plain_runs runs{*plain_, time_};
  if (x.is_prefill()) {
    auto time = runs.prefill(prompts);
    if (!time)
      return time.why();
    x.plain.seconds.push_back(*time);
    x.plain.floors.push_back(floor_of(x.work, rates));
    return {};
  }
  auto time = runs.decode(prompts, report_.options.num_steps);
  if (!time)
    return time.why();
  x.plain.seconds.push_back(time->seconds);
  x.plain.floors.push_back(floor_of(decoding(x, time->mean_position), rates));
  return {};
}

result<bench_report> bench::finish() {
  for (auto& x : running_)
    if (auto ok = end_company(x); !ok)
      return ok.why();
  report_.machine = {median(read_), median(fma_),
                     uses_dot() ? median(dot_) : 0};
  return report_;
}

} // namespace

kernels::machine_rates probe_machine(uint32_t num_threads, const clock& time) {
  kernels::thread_pool pool{num_threads};
  kernels::machine_probe probe{pool, [&time] { return seconds_of(time); }};
  return probe.measure(7);
}

result<bench_report> bench_model(const bench_options& options,
                                 const clock& time) {
  bench x{options, time};
  if (auto ok = x.load(); !ok)
    return ok.why();
  if (auto ok = x.warm_up(); !ok)
    return ok.why();
  if (options.compares())
    if (auto ok = x.run_round(0, false); !ok)
      return ok.why();
  for (uint32_t round = 0; round < options.rounds; ++round)
    if (auto ok = x.run_round(round, true); !ok)
      return ok.why();
  return x.finish();
}

} // namespace troupe
