#include "deploy/flag_sources.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

using namespace troupe;

namespace {

class FlagSources : public testing::Test {
protected:
  void SetUp() override {
    auto command = app_.add_subcommand("serve");
    command->add_option("--port", port_);
    add_flag_sources(*command);
  }

  void TearDown() override {
    ::unsetenv(variable);
  }

  std::vector<std::string> flags_with(const char* value) {
    ::setenv(variable, value, 1);
    return with_flag_sources(app_, {"troupe", "serve", "dir"});
  }

  static constexpr const char* variable = "TROUPE_PORT";

  CLI::App app_;
  int port_ = 0;
};

TEST_F(FlagSources, AreInTheEnvironment) {
  EXPECT_EQ(flags_with("8001"), (std::vector<std::string>{
                                  "troupe", "serve", "--port=8001", "dir"}));
}

TEST_F(FlagSources, TakeNoOthersWordWhereTheySayNothing) {
  EXPECT_EQ(flags_with(""),
            (std::vector<std::string>{"troupe", "serve", "dir"}));
}

TEST_F(FlagSources, AreNoneWhereKubernetesSpeaksOfAService) {
  EXPECT_EQ(flags_with("tcp://10.96.0.7:8000"),
            (std::vector<std::string>{"troupe", "serve", "dir"}));
}

} // namespace
