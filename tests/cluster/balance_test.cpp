/// `troupe balance` from outside.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

namespace {

using namespace troupe::tests;
using nlohmann::json;

/// Two layers of 16 experts, of which some have most, for two sources.
std::string write_loads(const std::filesystem::path& folder) {
  std::string header = "source,layer", rows;
  for (int e = 0; e < 16; ++e)
    header += ",e" + std::to_string(e);
  for (std::string source : {"code", "chat"})
    for (int layer : {3, 4}) {
      rows += source + "," + std::to_string(layer);
      for (int e = 0; e < 16; ++e)
        rows += ","
                + std::to_string(source == "code" ? 4000 / (e + 1)
                                                  : 3000 / (16 - e));
      rows += "\n";
    }
  auto path = folder / "loads.csv";
  std::ofstream{path} << "# Made.\n" << header << "\n" << rows;
  return path;
}

std::vector<std::string> balance(const std::string& loads,
                                 const std::vector<std::string>& more) {
  std::vector<std::string> out{"balance", loads, "--slots", "24",
                               "--gpus",  "8",   "--nodes", "2"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

void expect_sentence(const outcome& x, const std::string& why) {
  EXPECT_EQ(x.status, 1);
  EXPECT_EQ(x.out, "");
  EXPECT_NE(x.errors.find(why), std::string::npos) << x.errors;
  EXPECT_EQ(std::count(x.errors.begin(), x.errors.end(), '\n'), 1);
}

} // namespace

TEST(Balance, PlansFromNothingAndThenMovesLittle) {
  scratch_dir scratch;
  auto loads = write_loads(scratch.path());
  auto first = run_troupe(balance(loads, {"--source", "code", "--json"}));
  ASSERT_EQ(first.status, 0) << first.errors;
  auto plan = json::parse(first.out);
  EXPECT_EQ(plan.at("moves"), 48);
  EXPECT_GE(plan.at("seconds"), 0);
  ASSERT_EQ(plan.at("layers").size(), 2u);
  for (auto& layer : plan.at("layers")) {
    EXPECT_EQ(layer.at("physical_to_logical").size(), 24u);
    EXPECT_EQ(layer.at("weights").size(), 24u);
    EXPECT_GT(layer.at("balance"), 0.9);
    EXPECT_GT(layer.at("bound"), 0);
  }
  EXPECT_EQ(plan.at("layers")[1].at("layer"), 4);

  auto file = (scratch.path() / "plan.json").string();
  std::ofstream{file} << first.out;
  auto again = run_troupe(
    balance(loads, {"--source", "code", "--json", "--from", file}));
  ASSERT_EQ(again.status, 0) << again.errors;
  EXPECT_EQ(json::parse(again.out).at("moves"), 0);
  auto drifted = run_troupe(
    balance(loads, {"--source", "chat", "--json", "--from", file}));
  ASSERT_EQ(drifted.status, 0) << drifted.errors;
  auto few = json::parse(drifted.out).at("moves").get<int>();
  auto eplb = run_troupe(balance(loads, {"--source", "chat", "--json", "--from",
                                         file, "--algorithm", "eplb"}));
  ASSERT_EQ(eplb.status, 0) << eplb.errors;
  EXPECT_GT(few, 0);
  EXPECT_LT(few, json::parse(eplb.out).at("moves"));
}

TEST(Balance, PrintsATableForPeople) {
  scratch_dir scratch;
  auto x = run_troupe(balance(write_loads(scratch.path()), {}));
  ASSERT_EQ(x.status, 0) << x.errors;
  EXPECT_NE(x.out.find("balance (mean over largest load of a GPU)"),
            std::string::npos);
  EXPECT_NE(x.out.find("48 copies to make"), std::string::npos) << x.out;
}

TEST(Balance, WhatMakesNoSenseIsOneSentence) {
  scratch_dir scratch;
  auto loads = write_loads(scratch.path());
  expect_sentence(run_troupe(balance("/nowhere.csv", {})), "/nowhere.csv");
  expect_sentence(run_troupe(balance(loads, {"--source", "news"})),
                  "there is no source \"news\", only chat, code");
  expect_sentence(
    run_troupe({"balance", loads, "--slots", "25", "--gpus", "8"}),
    "25 slots cannot be shared out evenly among 8 GPUs");
  expect_sentence(run_troupe({"balance", loads, "--slots", "8", "--gpus", "8"}),
                  "8 slots are too few for 16 experts");
  expect_sentence(run_troupe(balance(loads, {"--groups", "3"})),
                  "16 experts do not make 3 equal groups");
  auto file = (scratch.path() / "plan.json").string();
  std::ofstream{file} << "{}";
  expect_sentence(run_troupe(balance(loads, {"--from", file})),
                  "there is no list \"layers\"");
  EXPECT_EQ(run_troupe({"balance", loads}).status, 2);
}
