/// What virtual worlds cost: actor messages and events per second with
/// arithmetic off, processor time of a seed with random faults and everything
/// computed, and of the start of a node; time and memory of large companies.
///
///   simulation_bench MODEL_DIR [seeds] [rounds]
///
/// One thread. Of rounds the quickest is printed: what is slower was disturbed.

#include "actors/simulation_batch.hpp"
#include "deploy/process_memory.hpp"
#include "runtime/convert/model_maker.hpp"
#include "runtime/sim/idle_executor.hpp"
#include "runtime/sim/oracle.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <numeric>
#include <unistd.h>

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

template <class T>
T must(result<T> x) {
  if (!x) {
    std::fprintf(stderr, "%s\n", x.why().message.c_str());
    std::exit(1);
  }
  return std::move(*x);
}

simulation_options
options_of(const std::shared_ptr<shared_model>& model, const std::string& load,
           topology cluster = local(num_nodes, num_ranks, num_workers)) {
  simulation_options out;
  out.company.cluster = std::move(cluster);
  out.company.cluster.max_model_len = 256;
  out.company.model = model;
  out.what.load = make_load(must(parse_load(load)), 1,
                            model->config().vocab_size);
  return out;
}

std::shared_ptr<shared_model> open(const std::string& dir,
                                   std::shared_ptr<kernels::executor> how) {
  return must(
    shared_model::open(dir, kernels::make_inline_device(0, std::move(how))));
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

void bench_messages(const std::string& dir, uint32_t rounds) {
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

void bench_faults(const std::string& dir, uint32_t num_seeds) {
  auto make = [] { return kernels::make_cpu_executor({}); };
  auto model = open(dir, make());
  simulation_batch_options options;
  options.base = options_of(model,
                            "streams=8,prompt=4-48,output=2-16,requests=32");
  oracle_options oracle;
  oracle.max_model_len = options.base.company.cluster.max_model_len;
  oracle.num_choices = must(model->tokens()).num_choices;
  auto asked = ask_plain_path(model->source(), make(), oracle,
                              options.base.what.load);
  CHECK(asked);
  options.make_compute = make;
  options.random_faults = true;
  simulation_batch batch{std::move(options)};
  uint32_t num_held = 0;
  auto seconds = seconds_of([&] {
    batch.run_all(1, num_seeds, [&](auto& x) { num_held += x.holds(); });
  });
  std::printf("a seed with faults, computed: %.3f s (%u of %u held)\n",
              seconds / num_seeds, num_held, num_seeds);
}

// -- large ones ---------------------------------------------------------------

/// Narrow, with an expert for each worker.
constexpr const char* wide_config = R"({
  "architectures": ["DeepseekV3ForCausalLM"],
  "model_type": "deepseek_v3", "vocab_size": 512, "hidden_size": 128,
  "num_hidden_layers": 3, "first_k_dense_replace": 1, "intermediate_size": 256,
  "moe_intermediate_size": 32, "n_routed_experts": 144, "n_shared_experts": 1,
  "num_experts_per_tok": 8, "n_group": 1, "topk_group": 1,
  "routed_scaling_factor": 2.5, "norm_topk_prob": true,
  "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 64,
  "kv_lora_rank": 64, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16,
  "v_head_dim": 16, "rope_theta": 10000.0, "rms_norm_eps": 1e-6,
  "max_position_embeddings": 1024, "hidden_act": "silu",
  "scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1,
  "num_nextn_predict_layers": 0, "attention_bias": false,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16",
  "quantization_config": {"quant_method": "fp8", "fmt": "e4m3",
    "activation_scheme": "dynamic", "weight_block_size": [128, 128]}})";

/// Eight ranks and eight workers on each node.
topology even(uint32_t nodes) {
  topology out;
  for (uint32_t n = 0; n < nodes; ++n) {
    topology_node x;
    x.name = "host-" + std::to_string(n);
    x.gateway = x.controller = n == 0;
    for (uint32_t i = 0; i < 8; ++i) {
      x.ranks.push_back(n * 8 + i);
      x.workers.push_back(n * 8 + i);
    }
    out.nodes.push_back(std::move(x));
  }
  CHECK(validate(out));
  return out;
}

/// Four requests for each rank, half of them at a time.
void bench_large(uint32_t nodes) {
  auto dir = std::filesystem::temp_directory_path()
             / ("simulation_bench-" + std::to_string(getpid()));
  must(make_model(dir, {.config_json = wide_config}));
  {
    auto how = kernels::make_cpu_executor({});
    auto model = open(dir.string(), std::move(how));
    auto ranks = std::to_string(nodes * 8);
    auto options = options_of(model,
                              "prompt=4-48,output=2-16,requests="
                                + std::to_string(nodes * 32)
                                + ",streams=" + std::to_string(nodes * 16),
                              even(nodes));
    options.company.compute = kernels::make_cpu_executor({});
    auto x = run(options, 1);
    std::printf("%s ranks, %s workers, %u nodes, computed: %.2f s, %.2f GB "
                "(%s)\n",
                ranks.c_str(), ranks.c_str(), nodes, x.seconds,
                double(peak_resident_bytes()) / 1e9,
                x.result.holds() ? "held" : "FAILED");
  }
  std::filesystem::remove_all(dir);
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
  for (uint32_t nodes : {4u, 18u})
    troupe::bench_large(nodes);
  return 0;
}
