/// `troupe simulate` as people use it: a cluster that is broken on purpose,
/// seeds that can be run again, and failures that come with all that it takes
/// to look at them.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace {

using namespace troupe::tests;
using nlohmann::json;

std::vector<std::string> company(std::vector<std::string> more) {
  std::vector<std::string> out{"simulate",
                               nano(),
                               "--data-parallel-size",
                               "4",
                               "--expert-parallel-size",
                               "8",
                               "--nodes",
                               "4",
                               "--max-model-len",
                               "256",
                               "--json"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<json> objects_of(const outcome& x) {
  std::vector<json> out;
  std::istringstream lines{x.out};
  for (std::string line; std::getline(lines, line);)
    out.push_back(json::parse(line));
  return out;
}

json one(const outcome& x) {
  auto all = objects_of(x);
  EXPECT_EQ(all.size(), 1u) << x.out << x.errors;
  return all.empty() ? json{} : all[0];
}

/// A company in need of blocks and places, two steps of whose ranks are out at
/// once. (A failed step that was still computing once gave its blocks back.)
TEST(Simulate, HoldsThroughFaultsWhileStepsOverlap) {
  auto dir = (troupe::source_dir() / "tests/simulation").string();
  auto x = run_troupe({"simulate", "--topology", dir + "/company.toml",
                       "--requests", dir + "/requests.jsonl", "--micro-batches",
                       "2", "--seeds", "80", "--faults", "random", "--json"});
  EXPECT_EQ(x.status, 0) << x.errors;
}

TEST(Simulate, OneSeedIsOneCourseOfEventsInWhateverProcess) {
  auto first = one(run_troupe(company({"--seed", "5"})));
  auto again = one(run_troupe(company({"--seed", "5"})));
  auto other = one(run_troupe(company({"--seed", "6"})));
  EXPECT_EQ(first, again);
  EXPECT_NE(first["trace_hash"], other["trace_hash"]);
  EXPECT_EQ(first["requests"], other["requests"]);
  EXPECT_EQ(first["requests"]["completed"], 32);
}

TEST(Simulate, TwentySeedsGiveTheTokensOfThePlainPath) {
  auto x = run_troupe(company({"--seeds", "20"}));
  EXPECT_EQ(x.status, 0) << x.errors;
  std::set<std::string> traces;
  for (auto& seed : objects_of(x)) {
    EXPECT_EQ(seed["requests"]["completed"], 32) << seed;
    traces.insert(seed["trace_hash"]);
  }
  EXPECT_EQ(traces.size(), 20u);
}

TEST(Simulate, AHundredSeedsOfFaultsHold) {
  scratch_dir scratch;
  auto x = run_troupe(company({"--seeds", "100", "--faults", "random", "--save",
                               scratch.path().string()}));
  EXPECT_EQ(x.status, 0) << x.errors;
  uint64_t happened = 0;
  for (auto& seed : objects_of(x))
    for (auto& fault : seed["faults"])
      happened += fault["outcome"] == "happened";
  EXPECT_GT(happened, 50u);
}

TEST(Simulate, BrokenSeedsHaveOneCourseEachToo) {
  auto x
    = run_troupe(company({"--seeds", "8", "--faults", "random", "--twice"}));
  EXPECT_EQ(x.status, 0) << x.errors;
  auto all = objects_of(x);
  std::ranges::sort(all, {}, [](auto& seed) { return uint64_t(seed["seed"]); });
  auto alone = one(run_troupe(company({"--seed", "7", "--faults", "random"})));
  EXPECT_EQ(all[6], alone);
}

TEST(Simulate, WithoutArithmeticTokensAreJudgedAsWell) {
  auto x = one(run_troupe(company({"--no-arithmetic", "--twice", "--load",
                                   "streams=16,prompt=4-48,output=2-40,"
                                   "requests=32"})));
  EXPECT_TRUE(x["held"]) << x;
  EXPECT_EQ(x["requests"]["completed"], 32);
}

TEST(Simulate, GrammarsLeaveOneSeedOneCourse) {
  scratch_dir scratch;
  auto asked = (scratch.path() / "asked.jsonl").string();
  std::ofstream{asked}
    << R"({"prompt": [5, 6], "max_tokens": 9, "regex": "[a-z]+ [0-9]{3}"})"
    << "\n"
    << R"({"prompt": [1, 2, 3], "max_tokens": 4})"
    << "\n"
    << R"({"prompt": [7, 8, 9], "max_tokens": 9, "regex": "(ab|cd){2,9}"})"
    << "\n";
  auto x
    = run_troupe(company({"--requests", asked, "--seeds", "3", "--twice"}));
  EXPECT_EQ(x.status, 0) << x.errors;
  for (auto& seed : objects_of(x)) {
    EXPECT_TRUE(seed["held"]) << seed;
    EXPECT_EQ(seed["requests"]["completed"], 3) << seed;
  }
}

TEST(Simulate, WhatNobodyMayTakeIsRefusedAndNoAlarm) {
  scratch_dir scratch;
  auto asked = (scratch.path() / "asked.jsonl").string();
  std::ofstream{asked} << "{\"prompt\": [999999]}\n"
                          "{\"prompt\": [1, 2, 3], \"max_tokens\": 4}\n"
                          "{\"prompt\": [1, 2, 3], \"max_tokens\": 8}\n";
  auto x = run_troupe(company({"--requests", asked}));
  EXPECT_EQ(x.status, 0) << x.errors;
  auto seen = one(x);
  EXPECT_EQ(seen["requests"]["refused"], 1);
  EXPECT_EQ(seen["requests"]["completed"], 2);
}

TEST(Simulate, WhatTheExamplesBreakHappens) {
  auto folder = source_dir() / "examples/faults";
  for (auto& file : std::filesystem::directory_iterator{folder}) {
    scratch_dir scratch;
    auto x = run_troupe(company(
      {"--faults", file.path().string(), "--save", scratch.path().string()}));
    EXPECT_EQ(x.status, 0) << file.path() << x.errors;
    EXPECT_FALSE(one(x)["faults"].empty());
  }
}

/// What fails is made smaller, written down and can be run again.
TEST(Simulate, AFailureCanBeRunAgainFromWhatIsPrinted) {
  scratch_dir scratch;
  auto plan = (scratch.path() / "late.toml").string();
  std::ofstream{plan} << "[[fault]]\nkill = \"experts-0\"\n"
                         "on = { event = \"token_emitted\", nth = 1000 }\n"
                         "[[fault]]\nslow = \"front\"\nfactor = 2\n"
                         "at = \"1ms\"\nfor = \"2ms\"\nmust_happen = false\n";
  auto x = run_troupe(
    company({"--faults", plan, "--load", "requests=4,prompt=4,output=2",
             "--save", scratch.path().string()}));
  EXPECT_EQ(x.status, 1);
  EXPECT_NE(x.errors.find("its time never came"), std::string::npos);
  auto at = x.errors.find("replay: troupe simulate");
  ASSERT_NE(at, std::string::npos) << x.errors;
  auto smaller = content_of(scratch.path() / "simulate-seed-1.toml");
  EXPECT_NE(smaller.find("kill"), std::string::npos);
  EXPECT_EQ(smaller.find("slow"), std::string::npos) << smaller;
  auto asked = (scratch.path() / "simulate-seed-1.jsonl").string();
  auto again = run_troupe(
    company({"--faults", (scratch.path() / "simulate-seed-1.toml").string(),
             "--requests", asked, "--save", scratch.path().string()}));
  EXPECT_EQ(again.status, 1);
  EXPECT_NE(again.errors.find("its time never came"), std::string::npos)
    << again.errors;
}

TEST(Simulate, WritesDownWhatHappened) {
  scratch_dir scratch;
  auto file = scratch.path() / "events";
  auto x = run_troupe(company({"--events", file.string()}));
  EXPECT_EQ(x.status, 0) << x.errors;
  auto text = content_of(file);
  auto lines = std::count(text.begin(), text.end(), '\n');
  int64_t said = 0;
  auto seen = one(x);
  for (auto& [kind, n] : seen["events"].items())
    said += n.get<int64_t>();
  EXPECT_EQ(lines, said);
}

TEST(Simulate, RefusesInOneSentence) {
  scratch_dir scratch;
  auto plan = (scratch.path() / "odd.toml").string();
  std::ofstream{plan} << "[[fault]]\nkill = \"nobody\"\nat = \"1s\"\n";
  auto x = run_troupe(company({"--faults", plan}));
  EXPECT_EQ(x.status, 2);
  EXPECT_NE(x.errors.find("nobody"), std::string::npos);
  EXPECT_EQ(std::count(x.errors.begin(), x.errors.end(), '\n'), 1) << x.errors;
  EXPECT_EQ(run_troupe(company({"--seeds", "2", "--events", plan})).status, 2);
}

TEST(Simulate, SaysHowToRunItAgainAlsoWhereNothingCanBeWritten) {
  scratch_dir scratch;
  auto plan = (scratch.path() / "late.toml").string();
  std::ofstream{plan} << "[[fault]]\nkill = \"experts-0\"\n"
                         "on = { event = \"token_emitted\", nth = 1000 }\n";
  auto x = run_troupe(company(
    {"--faults", plan, "--load", "requests=4,prompt=4,output=2", "--save",
     (scratch.path() / "nowhere").string(), "--events", "/dev/full"}));
  EXPECT_EQ(x.status, 1) << "what does not hold counts";
  EXPECT_FALSE(one(x)["held"]) << "and is shown";
  EXPECT_NE(x.errors.find("cannot write /dev/full"), std::string::npos);
  EXPECT_NE(x.errors.find("--faults " + plan
                          + " --load requests=4,prompt=4,output=2 --load-seed "
                            "1"),
            std::string::npos)
    << x.errors;
}

TEST(Simulate, FailsForStatesThatOneSeedHasNotReachedIfAsked) {
  EXPECT_EQ(run_troupe(company({"--every-state"})).status, 1);
}

TEST(Simulate, RefusesWhatComesWhenTheRunIsOver) {
  scratch_dir scratch;
  auto plan = (scratch.path() / "late.toml").string();
  std::ofstream{plan} << "[[fault]]\nkill = \"experts-0\"\nat = \"601s\"\n";
  auto asked = (scratch.path() / "asked.jsonl").string();
  std::ofstream{asked} << "{\"prompt\": [1], \"arrival\": \"1801s\"}\n";
  for (auto& more : {std::vector<std::string>{"--faults", plan},
                     std::vector<std::string>{"--requests", asked}}) {
    auto x = run_troupe(company(more));
    EXPECT_EQ(x.status, 2);
    EXPECT_NE(x.errors.find("comes later than"), std::string::npos) << x.errors;
  }
}

} // namespace
