/// Every golden case on every device in every precision, and what a mistake
/// in reading a checkpoint would look like.

#include "runtime/model/plain_forward.hpp"
#include "runtime/verify/verify.hpp"

#include "tests/edited_model.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

using kernels::test::device_names;
using kernels::test::make_device;

struct golden_run {
  const char* name; ///< A case, or "nano".
  const char* set;
  precision activations;
  std::string device;
  attention_form form = attention_form::absorbed;
};

/// A test's name of these words.
std::string joined(std::initializer_list<std::string> words) {
  std::string out;
  for (auto& word : words)
    out += (out.empty() ? "" : "_") + word;
  for (auto& c : out)
    c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

std::string name_of(const golden_run& x) {
  return joined(
    {x.name, std::string{to_string(x.activations)}, x.device,
     x.form == attention_form::absorbed ? "absorbed" : "multi_head"});
}

std::ostream& operator<<(std::ostream& out, const golden_run& x) {
  return out << name_of(x);
}

std::filesystem::path model_of(const golden_run& x) {
  return std::string{x.name} == "nano" ? nano_dir() / "model"
                                       : golden_case(x.name);
}

std::filesystem::path golden_of(const golden_run& x) {
  auto dir = std::string{x.name} == "nano" ? nano_dir() / "golden"
                                           : golden_case(x.name);
  return dir / (std::string{x.set} + ".safetensors");
}

constexpr auto fp8_set = "golden-fp8act-absorbed";

std::vector<golden_run> all_runs() {
  std::vector<golden_run> out;
  for (auto& device : device_names()) {
    constexpr auto multi_head = attention_form::multi_head;
    for (auto name :
         {"v3-fp8", "yarn-mscale", "no-q-lora", "v2-greedy", "nano"})
      for (auto activations : {precision::fp32, precision::bf16})
        out.push_back({name, "golden", activations, device, multi_head});
    out.push_back({"v3-fp8", fp8_set, precision::fp8, device, multi_head});
    out.push_back({"nano", fp8_set, precision::fp8, device, multi_head});
    for (auto name :
         {"v3-fp8", "v3-bf16-sharded", "yarn-mscale", "kimi-style", "no-q-lora",
          "dense-0", "dense-all-but-one", "no-norm-topk", "tied", "v2-greedy",
          "v2-group-limited", "nano"})
      for (auto activations : {precision::fp32, precision::bf16})
        out.push_back({name, "golden", activations, device});
    for (auto name : {"v3-fp8", "kimi-style", "nano"})
      out.push_back({name, fp8_set, precision::fp8, device});
  }
  return out;
}

verify_report verify(const std::filesystem::path& model,
                     const std::filesystem::path& golden, precision activations,
                     const std::string& device,
                     attention_form form = attention_form::absorbed) {
  auto dev = make_device(device, 2);
  auto source = checkpoint::open(model);
  EXPECT_TRUE(source) << source.why().message;
  verify_options options;
  options.activations = activations;
  options.prompt_form = form;
  auto report = verify_model(*dev, *source, golden, options);
  EXPECT_TRUE(report) << report.why().message;
  return std::move(*report);
}

class GoldenModel : public testing::TestWithParam<golden_run> {};

TEST_P(GoldenModel, IsReproducedWithinItsBounds) {
  auto& run = GetParam();
  auto report = verify(model_of(run), golden_of(run), run.activations,
                       run.device, run.form);
  for (auto& line : report.lines)
    std::cout << report.numerics << ": " << line << "\n";
  for (auto& fault : report.faults)
    ADD_FAILURE() << report.numerics << " out of bounds: " << fault;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, testing::ValuesIn(all_runs()),
                         [](auto& x) { return name_of(x.param); });

/// As transformers 5 writes config.json: the base and YaRN in one object.
TEST(GoldenSpelling, OfRopeParametersIsTheSameModel) {
  for (auto name : {"yarn-mscale", "kimi-style", "v2-group-limited"}) {
    edited_model model{golden_case(name)};
    auto& c = model.config;
    auto words = c["rope_scaling"].is_null() ? nlohmann::json::object()
                                             : c["rope_scaling"];
    words["rope_type"] = words.value("type", "default");
    words["rope_theta"] = c["rope_theta"];
    words.erase("type");
    c["rope_parameters"] = words;
    c["dtype"] = c["torch_dtype"];
    for (auto old : {"rope_theta", "rope_scaling", "torch_dtype"})
      c.erase(old);
    auto dir = model.write(scratch_dir());
    auto golden = golden_case(name) / "golden.safetensors";
    for (auto activations : {precision::fp32, precision::bf16})
      for (auto& fault : verify(dir, golden, activations, "cpu/best").faults)
        ADD_FAILURE() << name << " out of bounds: " << fault;
  }
}

/// What verify writes holds the names and shapes of the golden file, the
/// layers beside them.
TEST(Verify, WritesWhatItComputed) {
  auto dev = make_device("reference");
  auto source = checkpoint::open(golden_case("v2-greedy"));
  auto golden = golden_case("v2-greedy") / "golden.safetensors";
  verify_options options;
  options.out = scratch_dir() / "out.safetensors";
  ASSERT_TRUE(verify_model(*dev, *source, golden, options));
  auto wrote = safetensors_file::open(options.out);
  auto wanted = safetensors_file::open(golden);
  ASSERT_TRUE(wrote && wanted);
  for (std::string p : {"p0.", "p1.", "p2."}) {
    for (auto name : {"logits", "hidden", "experts", "weights", "greedy"}) {
      auto mine = wrote->find(p + name);
      ASSERT_TRUE(mine) << p << name;
      EXPECT_EQ(mine->shape, wanted->find(p + name)->shape) << p << name;
      EXPECT_EQ(mine->dtype, wanted->find(p + name)->dtype) << p << name;
    }
    EXPECT_TRUE(wrote->find(p + "layers"));
  }
}

// -- mistakes -----------------------------------------------------------------

/// Fields of config.json as if the engine took them for something else.
struct mistake {
  const char* name;
  const char* what;
  const char* fields; ///< JSON
};

std::ostream& operator<<(std::ostream& out, const mistake& x) {
  return out << x.name << " " << x.what;
}

class Mistake : public testing::TestWithParam<mistake> {};

TEST_P(Mistake, IsFoundInFp32AndInBf16) {
  edited_model model{golden_case(GetParam().name)};
  model.config.update(nlohmann::json::parse(GetParam().fields));
  auto dir = model.write(scratch_dir());
  auto golden = golden_case(GetParam().name) / "golden.safetensors";
  for (auto activations : {precision::fp32, precision::bf16})
    EXPECT_FALSE(verify(dir, golden, activations, "cpu/best").faults.empty())
      << to_string(activations);
}

constexpr mistake mistakes[] = {
  {"v3-fp8", "no_groups", R"({"n_group": 1, "topk_group": 1})"},
  {"v3-fp8", "weights_not_normalised", R"({"norm_topk_prob": false})"},
  {"v3-fp8", "no_scaling", R"({"routed_scaling_factor": 1.0})"},
  {"v3-fp8", "no_shared_expert", R"({"n_shared_experts": 0})"},
  {"yarn-mscale", "no_yarn", R"({"rope_scaling": null})"},
  {"kimi-style", "theta", R"({"rope_theta": 10000.0})"},
  {"dense-0", "eps", R"({"rms_norm_eps": 1e-6})"},
  {"no-norm-topk", "weights_normalised", R"({"norm_topk_prob": true})"},
  {"v2-greedy", "no_scaling", R"({"routed_scaling_factor": 1.0})"},
  {"v2-group-limited", "no_groups", R"({"topk_method": "greedy"})"},
};

INSTANTIATE_TEST_SUITE_P(All, Mistake, testing::ValuesIn(mistakes),
                         [](auto& x) {
                           return joined({x.param.name, x.param.what});
                         });

// -- chunks -------------------------------------------------------------------

struct chunk_run {
  const char* name;
  precision activations;
  std::string device;
};

std::string name_of(const chunk_run& x) {
  return joined({x.name, std::string{to_string(x.activations)}, x.device});
}

std::ostream& operator<<(std::ostream& out, const chunk_run& x) {
  return out << name_of(x);
}

class Prefill : public testing::TestWithParam<chunk_run> {};

/// Logits of eight tokens after a prompt of 150, and of the whole prompt.
std::vector<float> logits_with_chunk(kernels::device& dev, const char* name,
                                     precision activations, uint32_t chunk) {
  auto source = checkpoint::open(golden_case(name));
  plain_options options;
  options.activations = activations;
  options.max_model_len = 200;
  options.chunk = chunk;
  auto engine = plain_forward::make(dev, *source, options);
  EXPECT_TRUE(engine) << engine.why().message;
  generation_request request;
  for (int32_t i = 0; i < 150; ++i)
    request.prompt.push_back((i * 37 + 11) % 256);
  request.max_tokens = 8;
  request.sampling.temperature = 0;
  request.ignore_eos = true;
  request.want_logits = true;
  auto answer = (*engine)->generate(request);
  EXPECT_TRUE(answer) << answer.why().message;
  auto trace = (*engine)->run(request.prompt);
  EXPECT_TRUE(trace) << trace.why().message;
  auto out = std::move(answer->logits);
  out.insert(out.end(), trace->logits.begin(), trace->logits.end());
  return out;
}

TEST_P(Prefill, MayBeCutAnywhereWithoutChangingABit) {
  auto& p = GetParam();
  auto dev = make_device(p.device, 2);
  auto whole = logits_with_chunk(*dev, p.name, p.activations, 150);
  ASSERT_EQ(whole.size(), 158u * 256);
  for (auto chunk : {1u, 3u, 64u, 100u})
    EXPECT_TRUE(logits_with_chunk(*dev, p.name, p.activations, chunk) == whole)
      << "chunk of " << chunk;
}

TEST_P(Prefill, GivesTheSameBitsOnOneThreadAsOnTwo) {
  auto& p = GetParam();
  auto one = make_device(p.device, 1);
  auto two = make_device(p.device, 2);
  EXPECT_TRUE(logits_with_chunk(*one, p.name, p.activations, 150)
              == logits_with_chunk(*two, p.name, p.activations, 150));
}

std::vector<chunk_run> chunk_runs() {
  std::vector<chunk_run> out;
  for (auto& device : device_names()) {
    out.push_back({"v3-fp8", precision::fp8, device});
    if (device == "reference")
      continue; // As slow as it is plain.
    for (auto p : {precision::bf16, precision::fp32})
      out.push_back({"v3-fp8", p, device});
    out.push_back({"kimi-style", precision::fp8, device});
    out.push_back({"v3-bf16-sharded", precision::bf16, device});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(All, Prefill, testing::ValuesIn(chunk_runs()),
                         [](auto& x) { return name_of(x.param); });

// -- FP8 activations ----------------------------------------------------------

/// RMS of the golden data's layers against an engine's.
double layer_rms(const verify_report& report) {
  for (auto& line : report.lines)
    if (line.starts_with("layer by layer"))
      return std::stod(line.substr(line.find("RMS ") + 4));
  ADD_FAILURE() << "no line about layers";
  return 0;
}

/// The bounds of this set are loose: an engine that does not quantise keeps
/// them too. It is farther away, though.
TEST(Fp8Activations, ComeNearerThanPlainOnes) {
  for (auto name : {"v3-fp8", "kimi-style"}) {
    auto golden = golden_case(name) / (std::string{fp8_set} + ".safetensors");
    auto fp8 = layer_rms(
      verify(golden_case(name), golden, precision::fp8, "reference"));
    auto bf16 = layer_rms(
      verify(golden_case(name), golden, precision::bf16, "reference"));
    std::cout << name << ": " << fp8 << " fp8, " << bf16 << " bf16\n";
    EXPECT_LT(fp8, 0.9 * bf16) << name;
  }
}

} // namespace
} // namespace troupe
