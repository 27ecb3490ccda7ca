/// Every golden case on every device in every precision, and what a mistake
/// in reading a checkpoint would look like.

#include "runtime/model/verify.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

enum class target { reference, cpu };

struct golden_run {
  const char* name; ///< A case, or "nano".
  const char* set;
  precision activations;
  target device;
};

std::string name_of(const golden_run& x) {
  auto out = std::string{x.name} + "_" + std::string{to_string(x.activations)}
             + (x.device == target::cpu ? "_cpu" : "_reference");
  for (auto& c : out)
    if (c == '-')
      c = '_';
  return out;
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

std::unique_ptr<kernels::device> make_device(target device) {
  return device == target::reference ? kernels::make_reference_device(0) : nullptr;
}

std::vector<golden_run> all_runs() {
  std::vector<golden_run> out;
  for (auto device : {target::reference}) {
    for (auto name :
         {"v3-fp8", "v3-bf16-sharded", "yarn-mscale", "kimi-style", "no-q-lora",
          "dense-0", "dense-all-but-one", "no-norm-topk", "tied", "v2-greedy",
          "v2-group-limited", "nano"})
      for (auto activations : {precision::fp32, precision::bf16})
        out.push_back({name, "golden", activations, device});
    for (auto name : {"v3-fp8", "kimi-style", "nano"})
      out.push_back(
        {name, "golden-fp8act-absorbed", precision::fp8, device});
  }
  return out;
}

class GoldenModel : public testing::TestWithParam<golden_run> {};

TEST_P(GoldenModel, IsReproducedWithinItsBounds) {
  auto dev = make_device(GetParam().device);
  auto source = checkpoint::open(model_of(GetParam()));
  ASSERT_TRUE(source) << source.why().message;
  verify_options options;
  options.activations = GetParam().activations;
  if (auto dir = std::getenv("TROUPE_GOLDEN_OUT"))
    options.out
      = std::filesystem::path{dir} / (name_of(GetParam()) + ".safetensors");
  auto report = verify_model(*dev, *source, golden_of(GetParam()), options);
  ASSERT_TRUE(report) << report.why().message;
  for (auto& line : report->lines)
    std::cout << report->numerics << ": " << line << "\n";
  for (auto& fault : report->faults)
    ADD_FAILURE() << report->numerics << " out of bounds: " << fault;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, testing::ValuesIn(all_runs()),
                         [](auto& x) { return name_of(x.param); });

} // namespace
} // namespace troupe
