#include "runtime/verify/verify.hpp"

#include "runtime/model/plain_forward.hpp"
#include "runtime/verify/comparison.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The set that a file's bounds are kept under.
std::string set_of(const std::filesystem::path& golden) {
  constexpr std::string_view variant = "-absorbed";
  auto stem = golden.stem().string();
  if (stem.ends_with(variant))
    stem.resize(stem.size() - variant.size());
  return stem;
}

/// Bounds to try, the sharpest first.
std::vector<std::string_view> numerics_of(precision activations) {
  switch (activations) {
    case precision::fp8:
      return {"bf16-combine", "bf16"};
    case precision::bf16:
      return {"bf16"};
    default:
      return {"fp32"};
  }
}

uint32_t room_for(const golden_file& golden) {
  size_t most = 2;
  for (auto& p : golden.prompts)
    most = std::max(most, p.tokens.size() + p.greedy.size() + 1);
  return static_cast<uint32_t>(most);
}

result<engine_prompt> compute(plain_forward& engine,
                              const golden_prompt& golden) {
  auto trace = engine.run(golden.tokens);
  if (!trace)
    return trace.why();
  auto layers = engine.run_layers(golden.tokens, golden.hidden);
  if (!layers)
    return layers.why();
  engine_prompt out;
  out.logits = std::move(trace->logits);
  out.hidden = std::move(trace->hidden);
  out.experts = std::move(trace->experts);
  out.weights = std::move(trace->weights);
  out.layers = std::move(*layers);
  if (golden.greedy.empty())
    return out;
  generation_request request;
  request.prompt = golden.tokens;
  request.sampling.temperature = 0;
  request.max_tokens = static_cast<uint32_t>(golden.greedy.size());
  request.ignore_eos = true;
  auto answer = engine.generate(request);
  if (!answer)
    return answer.why();
  out.greedy = std::move(answer->tokens);
  return out;
}

result<void> write(const std::filesystem::path& path, const model_config& c,
                   const golden_file& golden,
                   const std::vector<engine_prompt>& prompts) {
  safetensors_writer out;
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto& x = prompts[i];
    auto p = "p" + std::to_string(i) + ".";
    uint64_t tokens = golden.prompts[i].tokens.size();
    uint64_t layers = c.num_hidden_layers;
    uint64_t k = c.num_experts_per_tok;
    out.add(p + "logits", {tokens, c.vocab_size}, x.logits);
    out.add(p + "hidden", {layers + 2, tokens, c.hidden_size}, x.hidden);
    out.add(p + "experts", {c.num_moe_layers(), tokens, k}, x.experts);
    out.add(p + "weights", {c.num_moe_layers(), tokens, k}, x.weights);
    out.add(p + "layers", {layers, tokens, c.hidden_size}, x.layers);
    out.add(p + "greedy", {x.greedy.size()}, x.greedy);
  }
  return out.write(path);
}

verify_report judge(const model_config& c, std::string_view set,
                    precision activations, const golden_file& golden,
                    const std::vector<engine_prompt>& prompts) {
  verify_report out;
  out.activations = activations;
  for (auto numerics : numerics_of(activations)) {
    auto bounds = find_bounds(set, numerics);
    CHECK(bounds.has_value());
    comparison all{c, bounds->near};
    for (size_t i = 0; i < prompts.size(); ++i)
      all.add(golden.prompts[i], prompts[i]);
    auto report = all.judge(*bounds);
    out.numerics = numerics;
    out.lines = std::move(report.lines);
    out.faults = std::move(report.faults);
    if (out.faults.empty())
      break;
  }
  return out;
}

/// Which precision a model is verified in if nobody says.
precision default_activations(const model_config& config) {
  return config.fp8 && !config.ue8m0 ? precision::fp8 : precision::bf16;
}

/// The file that is written must not be one that is read.
static result<void> check_out(const checkpoint& source,
                              const std::filesystem::path& golden,
                              const std::filesystem::path& out) {
  if (out.empty())
    return {};
  std::error_code ignored;
  if (std::filesystem::equivalent(golden, out, ignored))
    return failure{errc::invalid_input,
                   out.string()
                     + " is the golden file, which is read: write "
                       "to another file"};
  return source.check_no_source(out);
}

} // namespace

result<verify_report>
verify_model(kernels::device& dev, const checkpoint& source,
             const std::filesystem::path& golden_path,
             const verify_options& options, const load_progress& progress) {
  auto& config = source.config();
  if (!config)
    return config.why();
  auto set = set_of(golden_path);
  if (!find_bounds(set, "fp32"))
    return failure{errc::invalid_input,
                   golden_path.filename().string()
                     + " has no bounds: a golden file is called golden, "
                       "golden-fp8act or golden-fp8act-absorbed"};
  if (auto ok = check_out(source, golden_path, options.out); !ok)
    return ok.why();
  auto golden = read_golden(golden_path, *config);
  if (!golden)
    return golden.why();
  plain_options plain;
  plain.activations
    = options.activations.value_or(default_activations(*config));
  plain.max_model_len = room_for(*golden);
  plain.chunk = options.chunk;
  plain.prompt_form = options.prompt_form;
  auto engine = plain_forward::make(dev, source, plain, progress);
  if (!engine)
    return engine.why();
  std::vector<engine_prompt> prompts;
  for (auto& prompt : golden->prompts) {
    auto computed = compute(**engine, prompt);
    if (!computed)
      return computed.why();
    if (computed->greedy.size() != prompt.greedy.size())
      return failure{errc::context_too_long,
                     "a golden answer does not fit into the model's context"};
    prompts.push_back(std::move(*computed));
  }
  if (!options.out.empty())
    if (auto ok = write(options.out, *config, *golden, prompts); !ok)
      return ok.why();
  return judge(*config, set, plain.activations, *golden, prompts);
}

} // namespace troupe
