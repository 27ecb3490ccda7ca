#include "runtime/sim/unit_scene.hpp"

#include "kernels/device.hpp"
#include "runtime/batching/batcher.hpp"
#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/sim/idle_executor.hpp"
#include "runtime/toml/table_reader.hpp"

namespace troupe {

namespace {

constexpr uint64_t max_scene_bytes = 1 << 20;
constexpr uint32_t most_lanes = 4;

struct decode_scene {
  uint32_t requests = 0;
  uint32_t queries = 1;
  uint32_t context = 0;
};

struct prefill_scene {
  uint32_t prompts = 0;
  uint32_t tokens = 0;
};

struct scene {
  std::string model;
  std::string machine;
  std::string exchange = "low_latency";
  std::string order = "worker_first";
  uint32_t ranks = 1;
  uint32_t redundant_experts = 0;
  uint32_t micro_batches = 2;
  decode_scene decode;
  prefill_scene prefill;
};

void read_decode(table_reader& in, decode_scene& out) {
  in.allow_only({"requests", "queries", "context"}, "what is decoded");
  in.read_positive("requests", out.requests);
  in.read_positive("queries", out.queries);
  in.read_positive("context", out.context);
}

void read_prefill(table_reader& in, prefill_scene& out) {
  in.allow_only({"prompts", "tokens"}, "prompts");
  in.read_positive("prompts", out.prompts);
  in.read_positive("tokens", out.tokens);
}

result<scene> parse_scene(std::string_view text, const std::string& source) {
  auto document = parse_toml(text, source);
  if (!document)
    return document.why();
  table_reader in{*document, source};
  in.allow_only({"model", "machine", "ranks", "redundant_experts", "exchange",
                 "order", "micro_batches", "decode", "prefill"},
                "a unit's scene");
  scene out;
  in.read("model", out.model);
  in.read("machine", out.machine);
  in.read("ranks", out.ranks);
  in.read("redundant_experts", out.redundant_experts);
  in.read("exchange", out.exchange);
  in.read("order", out.order);
  in.read("micro_batches", out.micro_batches);
  if (out.exchange != "low_latency" && out.exchange != "normal")
    in.complain("exchange", "must be \"low_latency\" or \"normal\"");
  if (out.order != "worker_first" && out.order != "in_order")
    in.complain("order", "must be \"worker_first\" or \"in_order\"");
  if (out.micro_batches == 0 || out.micro_batches > most_lanes)
    in.complain("micro_batches", "must be 1 to 4");
  if (in.has("decode") == in.has("prefill"))
    in.complain("decode", "or prefill has to be there, and not both");
  in.read_table("decode", read_decode, out.decode);
  in.read_table("prefill", read_prefill, out.prefill);
  if (!in.complaint().empty())
    return failure{errc::invalid_input, in.complaint()};
  return out;
}

std::vector<step_load> share_out(const decode_scene& x, uint32_t num_lanes) {
  std::vector<step_load> out;
  for (uint32_t i = 0; i < num_lanes; ++i) {
    double requests = x.requests * (i + 1) / num_lanes
                      - x.requests * i / num_lanes;
    step_load load;
    load.absorbed.rows = requests * x.queries;
    load.absorbed.pairs = load.absorbed.rows * x.context;
    load.absorbed.keys = requests * x.context;
    out.push_back(load);
  }
  return out;
}

/// As a rank's batcher does that has them all before its first step.
result<std::vector<step_load>> cut(const prefill_scene& x, uint32_t num_lanes,
                                   const model_config& config) {
  batcher_options options;
  options.max_num_seqs = options.max_num_running = x.prompts;
  options.max_num_batched_tokens = x.prompts * x.tokens;
  options.num_lanes = num_lanes;
  options.cost = step_cost::of_shapes(config);
  options.max_model_len = x.tokens + 1;
  options.vocab_size = config.vocab_size;
  auto home = kernels::make_inline_device(0, make_idle_executor());
  auto one_layer = config; // nobody reads the cache
  one_layer.num_hidden_layers = 1;
  auto blocks = x.prompts
                * (x.tokens / kernels::latent_cache::block_tokens + 2);
  auto pool = kv_pool::make(*home, one_layer, precision::bf16, blocks);
  if (!pool)
    return pool.why();
  prefix_cache cache{**pool, false};
  batcher decide(options, cache);
  auto request = std::make_shared<generation_request>();
  request->prompt.resize(x.tokens);
  request->max_tokens = 1;
  for (uint32_t i = 0; i < x.prompts; ++i)
    decide.add(i + 1, 1, request);
  std::vector<step_load> out;
  while (out.size() < num_lanes) {
    auto next = decide.next_step(num_lanes);
    if (!next)
      return failure{errc::invalid_input,
                     "there are fewer prompts than micro-batches"};
    out.push_back(step_load::of(next->rows));
  }
  for (uint8_t i = 0; i < num_lanes; ++i)
    decide.fail_step(i, {errc::cancelled, "nothing is computed"});
  return out;
}

} // namespace

result<void> check_ranks(const virtual_unit_options& x) {
  auto slots = x.config.n_routed_experts + x.redundant_experts;
  if (x.num_ranks >= 2 && slots % x.num_ranks == 0)
    return {};
  return failure{errc::invalid_input, "a unit of " + std::to_string(x.num_ranks)
                                        + " GPUs has no equal parts of "
                                        + std::to_string(slots) + " experts"};
}

result<virtual_unit_options>
read_unit_scene(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_scene_bytes);
  if (!text)
    return text.why();
  auto read = parse_scene(*text, path.string());
  if (!read)
    return read.why();
  auto config = read_model_config(path.parent_path() / read->model);
  if (!config)
    return config.why();
  auto machine = read_unit_machine(path.parent_path() / read->machine);
  if (!machine)
    return machine.why();
  virtual_unit_options out;
  out.config = std::move(*config);
  out.machine = std::move(*machine);
  out.num_ranks = read->ranks;
  out.redundant_experts = read->redundant_experts;
  if (auto ok = check_ranks(out); !ok)
    return ok.why();
  if (read->exchange == "normal")
    out.exchange = exchange_mode::normal;
  if (read->order == "in_order")
    out.order = compute_order::in_order;
  if (read->decode.requests > 0) {
    out.lanes = share_out(read->decode, read->micro_batches);
    return out;
  }
  auto lanes = cut(read->prefill, read->micro_batches, out.config);
  if (!lanes)
    return lanes.why();
  out.lanes = std::move(*lanes);
  return out;
}

} // namespace troupe
