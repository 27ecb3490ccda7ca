#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// The process of the test is its own: what is unset here is back in the next.
class Places : public testing::Test {
protected:
  void SetUp() override {
    unsetenv("SOURCE_DIR");
    unsetenv("BINARY_DIR");
  }
};

using PlacesDeathTest = Places;

} // namespace

TEST_F(Places, AreFoundWithoutAnEnvironment) {
  EXPECT_TRUE(std::filesystem::exists(source_dir() / "ARCHITECTURE.md"));
  EXPECT_TRUE(std::filesystem::equivalent(
    binary_dir() / "tests/unit_house_tests", places::running_program()));
}

TEST_F(Places, AreThoseOfTheEnvironmentIfItNamesThem) {
  setenv("SOURCE_DIR", "/usr", 1);
  setenv("BINARY_DIR", "/etc", 1);
  EXPECT_EQ(source_dir(), "/usr");
  EXPECT_EQ(binary_dir(), "/etc");
}

TEST_F(Places, AProgramOutsideOfABuildFolderHasNone) {
  EXPECT_EQ(places::build_of("/usr/bin/env"), "");
  EXPECT_EQ(places::sources_of("/usr/bin"), "");
}

TEST_F(PlacesDeathTest, EndWithASentenceThatNamesTheVariable) {
  setenv("SOURCE_DIR", "/no/such/folder", 1);
  EXPECT_EXIT(source_dir(), testing::ExitedWithCode(2),
              "SOURCE_DIR=/no/such/folder is not a folder");
  EXPECT_EXIT(places::folder("BINARY_DIR", {}), testing::ExitedWithCode(2),
              "does not lie in a build folder: set BINARY_DIR");
}
