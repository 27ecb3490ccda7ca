/// What nodes compute on, from outside: --device, whatever this machine has.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe::tests;

TEST(Device, InspectTellsWhichGpusThereAreOrWhyThereAreNone) {
  auto x = run_troupe({"model", "inspect", nano()});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto has_gpu = x.out.find("\ncuda:0: ") != x.out.npos;
  EXPECT_NE(has_gpu, x.out.find("\nGPUs: none (") != x.out.npos) << x.out;
}

TEST(Device, ThatIsNotThereIsRefusedInOneSentence) {
  auto wrong = run_troupe({"generate", nano(), "-p", "a", "--device", "gpu"});
  EXPECT_NE(wrong.status, 0);
  EXPECT_NE(wrong.errors.find("\"gpu\" is no device"), std::string::npos)
    << wrong.errors;
  auto none
    = run_troupe({"generate", nano(), "-p", "a", "--device", "cuda:4000"});
  EXPECT_EQ(none.status, 1);
  EXPECT_NE(none.errors.find("no device cuda:4000: "), std::string::npos)
    << none.errors;
}

TEST(Device, PlainLoopsServeAsTheDefinition) {
  auto x = run_troupe({"generate", nano(), "-p", "a b", "--max-tokens", "2",
                       "--device", "reference"});
  EXPECT_EQ(x.status, 0) << x.errors;
  EXPECT_FALSE(x.out.empty());
}

} // namespace
