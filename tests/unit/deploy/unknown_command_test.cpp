#include "deploy/unknown_command.hpp"

#include <gtest/gtest.h>

namespace troupe {

namespace {

class UnknownCommand : public testing::Test {
protected:
  UnknownCommand() {
    app_.add_subcommand("serve", "");
    app_.add_subcommand("generate", "");
    auto* model = app_.add_subcommand("model", "");
    model->add_subcommand("inspect", "");
    model->add_subcommand("export", "");
    auto* balance = app_.add_subcommand("balance", "");
    balance->add_option("loads", loads_, "");
    balance->add_subcommand("record", "");
    app_.add_subcommand("make", "")->add_option_group("shape");
  }

  std::string said(std::vector<std::string> args) const {
    args.insert(args.begin(), "/usr/bin/troupe");
    return unknown_command(app_, args).value_or("");
  }

  CLI::App app_{"", "troupe"};
  std::string loads_;
};

TEST_F(UnknownCommand, IsNamedBesideTheNearest) {
  EXPECT_EQ(said({"sevre", "--port", "0"}),
            "troupe: there is no command 'sevre'; the nearest is 'serve', and "
            "'troupe --help' shows all.");
  EXPECT_EQ(said({"model", "inspekt"}),
            "troupe model: there is no command 'inspekt'; the nearest is "
            "'inspect', and 'troupe model --help' shows all.");
  EXPECT_NE(said({std::string(1 << 20, 'x')}), "");
  EXPECT_LT(said({std::string(1 << 20, 'x')}).size(), 200u);
}

TEST_F(UnknownCommand, WhatIsKnownOrNoCommandIsNone) {
  const std::vector<std::vector<std::string>> all = {{},
                                                     {"serve"},
                                                     {"serve", "directory"},
                                                     {"--help"},
                                                     {"--port", "serve"},
                                                     {"model"},
                                                     {"model", "--help"},
                                                     {"balance", "loads.csv"},
                                                     {"balance", "record"},
                                                     {"make", "directory"},
                                                     {"model", "export", "x"}};
  for (const auto& args : all)
    EXPECT_EQ(said(args), "");
}

TEST_F(UnknownCommand, TheNearestTakesTheFewestChanges) {
  std::vector<std::string> words = {"serve", "node", "bench", "model", "top"};
  EXPECT_EQ(nearest_word("serv", words), "serve");
  EXPECT_EQ(nearest_word("nodes", words), "node");
  EXPECT_EQ(nearest_word("mdoel", words), "model");
  EXPECT_EQ(nearest_word("xtop", words), "top");
  EXPECT_EQ(nearest_word("", words), "top");
}

} // namespace

} // namespace troupe
