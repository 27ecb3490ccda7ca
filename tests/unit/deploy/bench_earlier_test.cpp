/// Ratios of two runs, which are read from their JSON.

#include "deploy/bench_earlier.hpp"

#include "deploy/bench_report.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;

/// A run of two cases, through the actors and the plain path.
bench_report a_run(double seconds) {
  bench_report out;
  out.target = "cpu/avx2";
  out.cluster.model = "some/model";
  out.cluster.nodes.resize(1);
  out.options.num_threads = 2;
  out.options.rounds = 3;
  out.machine.read_bytes = 20e9;
  out.options.prompts = {{512, 1}, {64, 4}};
  out.options.depths = {0};
  out.options.batches = {8};
  out.companies = list_companies(out.options);
  out.cases = list_cases(out.options, out.companies, 1);
  for (auto& x : out.cases) {
    auto& actors = x.actors.front();
    actors.seconds = {3 * seconds, seconds, 2 * seconds};
    actors.floors = {1, 1, 1};
    x.plain.seconds = {seconds, seconds, seconds};
    x.plain.floors = {1, 1, 1};
  }
  return out;
}

bench_record record_of(const bench_report& x) {
  auto out = read_bench_record(bench_json(x));
  EXPECT_TRUE(out);
  return out ? *out : bench_record{};
}

} // namespace

TEST(BenchEarlier, RatesAreThoseOfTheRun) {
  auto run = a_run(0.5);
  auto got = record_of(run);
  ASSERT_EQ(got.rates.size(), 6u);
  EXPECT_EQ(got.rates[0].where, "prefill 512");
  EXPECT_EQ(got.rates[0].who, "actors");
  EXPECT_NEAR(got.rates[0].best, 512 / 0.5, 1e-6);
  EXPECT_NEAR(got.rates[0].middle, 512 / 1.0, 1e-6);
  EXPECT_EQ(got.rates[2].where, "prefill 4x64");
  EXPECT_EQ(got.rates[5].where, "decode, depth 0, batch 8");
  EXPECT_EQ(got.rates[5].who, "plain");
}

TEST(BenchEarlier, RatiosAreOfCasesThatBothHave) {
  auto before = a_run(0.5);
  auto after = a_run(0.25);
  before.cases.erase(before.cases.begin());
  after.cases.pop_back();
  auto all = ratios_of(record_of(after), record_of(before));
  ASSERT_EQ(all.size(), 2u);
  for (auto& x : all) {
    EXPECT_EQ(x.now.where, "prefill 4x64");
    EXPECT_EQ(x.now.who, x.earlier.who);
    EXPECT_NEAR(x.now.best / x.earlier.best, 2, 1e-9);
  }
}

TEST(BenchEarlier, CompaniesAreFoundByName) {
  auto run = a_run(0.5);
  run.options.micro_batches = {"1", "2", "1"};
  run.options.prompts.clear();
  run.companies = list_companies(run.options);
  run.cases = list_cases(run.options, run.companies, 1);
  auto seconds = 0.1;
  for (auto& x : run.cases)
    for (auto& each : x.actors) {
      each.seconds = {seconds += 0.1};
      each.floors = {0.1};
    }
  for (auto& x : ratios_of(record_of(run), record_of(run)))
    EXPECT_EQ(x.now.best, x.earlier.best) << x.now.where << ", " << x.now.who;
  EXPECT_EQ(record_of(run).rates.size(), 3u);
}

TEST(BenchEarlier, WhatDiffersBesideTheCodeIsSaid) {
  auto now = a_run(0.25);
  now.target = "cpu/avx512";
  now.options.num_threads = 1;
  auto text = ratios_table(record_of(now), record_of(a_run(0.5)));
  EXPECT_NE(text.find("other target: cpu/avx2 then, cpu/avx512 now\n"),
            text.npos)
    << text;
  EXPECT_NE(text.find("other threads: 2 then, 1 now\n"), text.npos) << text;
  EXPECT_EQ(text.find("other model"), text.npos) << text;
  EXPECT_NE(text.find("  2.000"), text.npos) << text;
  auto none = bench_record{};
  EXPECT_NE(ratios_table(record_of(now), none).find("none of these cases"),
            text.npos);
}

TEST(BenchEarlier, JsonGoesOnWithTheRatios) {
  auto now = a_run(0.25);
  auto text = with_ratios(bench_json(now), record_of(now),
                          record_of(a_run(0.5)));
  EXPECT_NE(text.find("\"earlier\""), text.npos);
  EXPECT_NE(text.find("\"times\": 2.0"), text.npos) << text;
  // A run that was itself compared is an earlier run like any other.
  EXPECT_TRUE(read_bench_record(text));
}

TEST(BenchEarlier, OtherFilesAreRefused) {
  for (auto text : {"", "{}", "[]", "7", "{\"model\": 7}"}) {
    auto got = read_bench_record(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.why().message,
              "this is not what troupe bench model --json prints");
  }
  // Deep inside.
  auto whole = bench_json(a_run(0.5));
  for (auto [from, to] : {std::pair{"\"rounds\": [", "\"round\": ["},
                          {"\"batch\": 8", "\"batch\": {}"},
                          {"\"threads\": 2", "\"threads\": [2]"}}) {
    auto text = whole;
    auto at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    text.replace(at, std::string{from}.size(), to);
    EXPECT_FALSE(read_bench_record(text)) << to;
  }
}
