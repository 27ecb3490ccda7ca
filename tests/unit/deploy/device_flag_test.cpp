#include "deploy/device_flag.hpp"

#include "kernels/cpu_targets.hpp"
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
                                     + "\" is no device: cpu, cpu/TARGET, "
                                       "reference, cuda or cuda:N");
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

TEST(DeviceFlag, ATargetOfTheCpuIsForced) {
  auto all = kernels::cpu_targets();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back(), "portable");
  for (auto& target : all) {
    node_options options;
    EXPECT_TRUE(choose_device("cpu/" + target, options));
    EXPECT_EQ(options.target, target);
    EXPECT_NE(describe_devices().find(target), std::string::npos);
  }
  for (auto name : {"cpu/", "cpu/best", "cpu/avx1024"}) {
    auto found = parse_device(name);
    ASSERT_FALSE(found) << name;
    auto begin = "\"" + std::string{name}
                 + "\" is no device: the targets that this machine has are ";
    EXPECT_EQ(found.why().message.substr(0, begin.size()), begin);
    EXPECT_TRUE(found.why().message.ends_with("portable"));
  }
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
    EXPECT_TRUE(describe_devices().ends_with("GPUs: none (" + why + ")\n"));
  }
  node_options other;
  auto nobody = choose_device("cuda:4000", other);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(other.device, nullptr);
}

} // namespace
