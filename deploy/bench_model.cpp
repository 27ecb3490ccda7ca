#include "deploy/bench_model.hpp"

#include "actors/company.hpp"
#include "deploy/process_memory.hpp"
#include "deploy/progress.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe {

namespace {

using kernels::machine_rates;

constexpr std::chrono::hours load_limit{12};

double seconds_of(const clock& time) {
  return std::chrono::duration<double>(time.now().time_since_epoch()).count();
}

/// Tokens that a sequence may make, the timed ones and those of the time in
/// which others' prompts go through: each step takes `chunk` rows of prompts
/// less one for each sequence that decodes.
uint32_t answer_room(const bench_options& o, uint32_t depth, uint32_t batch) {
  auto timed = o.num_steps + 1;
  if (batch == 1)
    return timed;
  auto rows = std::max(o.chunk, 2 * batch) - batch;
  auto steps = (uint64_t{batch} * std::max(1u, depth) + rows - 1) / rows;
  return static_cast<uint32_t>(timed + 2 * steps + batch + 256);
}

/// Positions that the longest sequence takes, and blocks for the worst case.
struct room {
  uint64_t positions = 0;
  uint64_t blocks = 0;

  void add(uint64_t sequences, uint64_t length) {
    constexpr uint64_t per_block = kernels::latent_cache::block_tokens;
    positions = std::max(positions, length);
    blocks = std::max(blocks,
                      sequences * ((length + per_block - 1) / per_block));
  }
};

room room_for(const bench_options& o) {
  room out;
  for (auto prompt : o.prompts)
    out.add(1, prompt + 1);
  for (auto depth : o.depths)
    for (auto batch : o.batches)
      out.add(batch,
              uint64_t{std::max(1u, depth)} + answer_room(o, depth, batch));
  return out;
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
  result<void> run_round(uint32_t round);
  bench_report finish();

private:
  result<void> load_plain(const checkpoint& source, uint64_t positions);
  result<void> load_actors(const room& wanted);
  void make_cases();
  result<void> run(bench_case& x, machine_rates rates);
  result<void> run_prefill(bench_case& x, const machine_rates& rates);
  result<void> run_decode(bench_case& x, const machine_rates& rates);
  double floor_of(const step_work& work, const machine_rates& rates,
                  bool* memory_bound = nullptr) const;
  step_work decoding(const bench_case& x, double mean_position) const;

  /// CPUs may have BF16 dot products that are slower than FP32, and then the
  /// device leaves them alone.
  bool uses_dot() const {
    return report_.options.activations != precision::fp32
           && report_.target.ends_with("bf16");
  }

  uint32_t max_batch() const {
    auto& all = report_.options.batches;
    return all.empty() ? 1 : *std::max_element(all.begin(), all.end());
  }

  uint32_t max_rows() const {
    return std::max(report_.options.chunk, 2 * max_batch());
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
  std::unique_ptr<company> company_;
  std::vector<double> read_, fma_, dot_; ///< Rates of all probes.
};

result<void> bench::load() {
  auto& o = report_.options;
  auto source = checkpoint::open(o.model);
  if (!source)
    return source.why();
  auto& config = source->config();
  if (!config)
    return config.why();
  config_ = *config;
  auto wanted = room_for(o);
  if (wanted.positions > config_.max_position_embeddings)
    return failure{errc::context_too_long,
                   "the longest case takes " + std::to_string(wanted.positions)
                     + " positions and the model has "
                     + std::to_string(config_.max_position_embeddings)};
  work_.emplace(config_, summarize(*source, config_), o.activations);
  report_.num_moe_layers = config_.num_moe_layers();
  kernels::cpu_options cpu;
  cpu.num_threads = o.num_threads;
  cpu.pool = pool_;
  device_ = kernels::make_cpu_device(cpu);
  report_.target = device_->target();
  make_cases();
  if (o.with_plain)
    if (auto ok = load_plain(*source, wanted.positions); !ok)
      return ok;
  auto& load = report_.load;
  for (auto& name : source->names())
    load.bytes += source->find(name)->num_bytes;
  auto before = resident_bytes();
  auto start = seconds_of(time_);
  auto ok = load_actors(wanted);
  load.seconds = seconds_of(time_) - start;
  load.peak_bytes = peak_resident_bytes() - before;
  return ok;
}

result<void> bench::load_plain(const checkpoint& source, uint64_t positions) {
  auto& o = report_.options;
  plain_options options;
  options.activations = o.activations;
  options.chunk = max_rows();
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

result<void> bench::load_actors(const room& wanted) {
  auto& o = report_.options;
  company_options options;
  options.cluster = single_process(1, 1);
  options.cluster.activations = o.activations;
  options.cluster.max_model_len = static_cast<uint32_t>(wanted.positions);
  auto& limits = options.cluster.limits;
  limits.max_num_seqs = max_batch();
  limits.max_num_batched_tokens = max_rows();
  limits.num_kv_blocks = static_cast<uint32_t>(wanted.blocks);
  options.model_dir = o.model;
  options.node.num_threads = o.num_threads;
  options.node.config = std::make_shared<model_config>(config_);
  options.progress = [this](auto& what, auto done, auto total) {
    progress_.show(what, done, total);
  };
  auto made = company::start(std::move(options));
  if (!made)
    return made.why();
  company_ = std::move(*made);
  return company_->wait_until_ready(load_limit);
}

void bench::make_cases() {
  auto& o = report_.options;
  for (auto prompt : o.prompts) {
    bench_case x;
    x.prompt = prompt;
    x.tokens = prompt;
    x.steps = (prompt + max_rows() - 1) / max_rows();
    x.work = work_->prompt(prompt, max_rows());
    report_.cases.push_back(std::move(x));
  }
  for (auto depth : o.depths)
    for (auto batch : o.batches) {
      bench_case x;
      x.depth = depth;
      x.batch = batch;
      x.steps = o.num_steps;
      x.tokens = double(batch) * o.num_steps;
      x.work = decoding(x, std::max(1u, depth) + (o.num_steps - 1) / 2.0);
      report_.cases.push_back(std::move(x));
    }
}

step_work bench::decoding(const bench_case& x, double mean_position) const {
  auto once = work_->step({x.batch, 1, mean_position, x.batch});
  auto n = x.steps;
  return {once.experts * n, once.weight_bytes * n, once.cache_bytes * n,
          once.flops * n};
}

// -- rounds -------------------------------------------------------------------

/// Both ways once, so that all code and memory has been touched.
result<void> bench::warm_up() {
  bench_case x;
  x.steps = std::min(8u, report_.options.num_steps);
  prompt_list prompts{make_prompt(1, 1, config_)};
  auto steps = static_cast<uint32_t>(x.steps);
  if (auto ok = service_runs{*company_, time_}.decode(prompts, steps,
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

result<void> bench::run_round(uint32_t round) {
  auto rates = probe_.measure(3);
  fma_.push_back(rates.fma_flops);
  dot_.push_back(rates.dot_flops);
  auto& cases = report_.cases;
  for (size_t i = 0; i < cases.size(); ++i) {
    std::fprintf(stderr, "bench: round %u of %u, case %zu of %zu: %s\n",
                 round + 1, report_.options.rounds, i + 1, cases.size(),
                 cases[i].name().c_str());
    if (auto ok = run(cases[i], rates); !ok)
      return ok;
  }
  return {};
}

result<void> bench::run(bench_case& x, machine_rates rates) {
  rates.read_bytes = probe_.read_bytes(3);
  read_.push_back(rates.read_bytes);
  return x.is_prefill() ? run_prefill(x, rates) : run_decode(x, rates);
}

result<void> bench::run_prefill(bench_case& x, const machine_rates& rates) {
  auto prompt = make_prompt(x.prompt, x.prompt, config_);
  auto floor = floor_of(x.work, rates, &x.memory_bound);
  auto actors = service_runs{*company_, time_}.prefill(prompt);
  if (!actors)
    return actors.why();
  x.actors.seconds.push_back(*actors);
  x.actors.floors.push_back(floor);
  if (!plain_)
    return {};
  auto plain = plain_runs{*plain_, time_}.prefill(prompt);
  if (!plain)
    return plain.why();
  x.plain.seconds.push_back(*plain);
  x.plain.floors.push_back(floor);
  return {};
}

result<void> bench::run_decode(bench_case& x, const machine_rates& rates) {
  auto& o = report_.options;
  auto prompts = make_prompts(x, config_);
  auto actors = service_runs{*company_, time_}.decode(
    prompts, o.num_steps, answer_room(o, x.depth, x.batch));
  if (!actors)
    return actors.why();
  x.actors.seconds.push_back(actors->seconds);
  x.actors.floors.push_back(
    floor_of(decoding(x, actors->mean_position), rates, &x.memory_bound));
  if (!plain_)
    return {};
  auto plain = plain_runs{*plain_, time_}.decode(prompts, o.num_steps);
  if (!plain)
    return plain.why();
  x.plain.seconds.push_back(plain->seconds);
  x.plain.floors.push_back(floor_of(decoding(x, plain->mean_position), rates));
  return {};
}

bench_report bench::finish() {
  report_.machine = {median(read_), median(fma_),
                     uses_dot() ? median(dot_) : 0};
  return report_;
}

} // namespace

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double bench_series::median_seconds() const {
  return median(seconds);
}

double bench_series::roofline_percent() const {
  std::vector<double> shares;
  for (size_t i = 0; i < seconds.size(); ++i)
    shares.push_back(100 * floors[i] / seconds[i]);
  return median(std::move(shares));
}

std::string bench_case::name() const {
  if (is_prefill())
    return "prefill " + std::to_string(prompt);
  return "decode, depth " + std::to_string(depth) + ", batch "
         + std::to_string(batch);
}

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
  for (uint32_t round = 0; round < options.rounds; ++round)
    if (auto ok = x.run_round(round); !ok)
      return ok.why();
  return x.finish();
}

} // namespace troupe
