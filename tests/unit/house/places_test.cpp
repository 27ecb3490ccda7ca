#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <optional>

using namespace troupe;

namespace {

/// Each test begins without the variables and leaves them as they were.
class Places : public testing::Test {
protected:
  Places() {
    for (auto& [name, value] : kept_) {
      if (auto found = std::getenv(name))
        value = found;
      unsetenv(name);
    }
  }

  ~Places() override {
    for (auto& [name, value] : kept_) {
      unsetenv(name);
      if (value)
        setenv(name, value->c_str(), 1);
    }
  }

private:
  std::pair<const char*, std::optional<std::string>> kept_[2]
    = {{"SOURCE_DIR", {}}, {"BINARY_DIR", {}}};
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
