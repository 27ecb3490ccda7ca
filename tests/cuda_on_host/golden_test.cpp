/// A whole model through the kernels of CUDA: golden cases, as other devices
/// have all of them (tests/golden/model_test.cpp).

#include "runtime/verify/verify.hpp"

#include "tests/cuda_on_host/device.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

void expect_golden(const char* name, const char* set, precision activations,
                   attention_form form) {
  auto dev = kernels::test::make_cuda_on_host(3);
  auto dir = golden_case(name);
  auto source = checkpoint::open(dir);
  ASSERT_TRUE(source) << source.why().message;
  verify_options options;
  options.activations = activations;
  options.prompt_form = form;
  auto report = verify_model(
    *dev, *source, dir / (std::string{set} + ".safetensors"), options);
  ASSERT_TRUE(report) << report.why().message;
  EXPECT_GT(report->lines.size(), 0u);
  for (auto& fault : report->faults)
    ADD_FAILURE() << report->numerics << " out of bounds: " << fault;
}

TEST(CudaOnHost, ReproducesAModelInFp8) {
  expect_golden("v3-fp8", "golden-fp8act-absorbed", precision::fp8,
                attention_form::absorbed);
}

TEST(CudaOnHost, ReproducesAModelInMultiHeadForm) {
  expect_golden("yarn-mscale", "golden", precision::bf16,
                attention_form::multi_head);
}

} // namespace
} // namespace troupe
