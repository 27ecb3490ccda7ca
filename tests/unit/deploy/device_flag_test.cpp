#include "deploy/device_flag.hpp"

#include "kernels/cuda_device.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

TEST(DeviceFlag, NamesWhatIsComputedOn) {
  using kind = device_choice::kind;
  EXPECT_EQ(parse_device("")->what, kind::cpu);
  EXPECT_EQ(parse_device("cpu")->what, kind::cpu);
  EXPECT_EQ(parse_device("reference")->what, kind::reference);
  EXPECT_EQ(parse_device("cuda")->what, kind::cuda);
  EXPECT_EQ(parse_device("cuda")->ordinal, 0u);
  EXPECT_EQ(parse_device("cuda:12")->ordinal, 12u);
}

TEST(DeviceFlag, RefusesOtherNamesInOneSentence) {
  for (auto name : {"gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda1",
                    "cuda:99999999999", "CPU"}) {
    auto found = parse_device(name);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.why().message, "\"" + std::string{name}
                                     + "\" is no device: cpu, reference, cuda "
                                       "or cuda:N");
  }
}

TEST(DeviceFlag, TheCpuIsWhatANodeMakesItself) {
  node_options options;
  EXPECT_TRUE(choose_device("cpu", options));
  EXPECT_EQ(options.device, nullptr);
  EXPECT_EQ(options.target, "best");
  EXPECT_TRUE(choose_device("reference", options));
  EXPECT_EQ(options.target, "reference");
}

// Whatever this machine has: a GPU, a build without CUDA, or no driver.
TEST(DeviceFlag, AGpuIsThereOrASentenceSaysWhyNot) {
  std::string why;
  auto gpus = kernels::describe_gpus(why);
  node_options options;
  auto chosen = choose_device("cuda", options);
  EXPECT_EQ(bool(chosen), !gpus.empty());
  EXPECT_EQ(gpus.empty(), !why.empty());
  if (!chosen) {
    EXPECT_EQ(chosen.why().code, errc::not_found);
    EXPECT_EQ(chosen.why().message, "no device cuda: " + why);
    EXPECT_EQ(describe_devices(), "GPUs: none (" + why + ")\n");
  }
  node_options other;
  auto nobody = choose_device("cuda:4000", other);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(other.device, nullptr);
}

} // namespace
