/// What `troupe bench serve` says of a measurement.

#include "deploy/bench_serve_report.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <limits>

namespace {

using namespace troupe;

class BenchServeReport : public testing::Test {
protected:
  BenchServeReport() {
    how_.url = "http://x";
    how_.model = "m";
    how_.request_rate = std::numeric_limits<double>::infinity();
    sum_.duration = 2;
    sum_.completed = 10;
    sum_.good = 5;
    sum_.prompt_tokens = 100;
    sum_.output_tokens = 60;
    sum_.pieces = 30;
    sum_.ttft = bench::describe({0.1, 0.2, 0.3});
  }

  std::string table() const {
    return serve_bench_table(how_, sum_);
  }

  serve_bench_setting how_;
  bench::load_summary sum_;
};

TEST_F(BenchServeReport, HasTheNamesOfVllm) {
  how_.goodput = "ttft:1s";
  sum_.failed = 2;
  sum_.errors["status 429"] = {2, "busy\xff"};
  auto x = nlohmann::json::parse(serve_bench_json(how_, sum_));
  EXPECT_EQ(x["request_rate"], "inf");
  EXPECT_EQ(x["completed"], 10);
  EXPECT_EQ(x["request_throughput"], 5.0);
  EXPECT_EQ(x["request_goodput"], 2.5);
  EXPECT_EQ(x["output_throughput"], 30.0);
  EXPECT_EQ(x["total_token_throughput"], 80.0);
  EXPECT_NEAR(x["median_ttft_ms"], 200, 1e-9);
  EXPECT_NEAR(x["p90_ttft_ms"], 280, 1e-9);
  EXPECT_EQ(x["errors"]["status 429"]["count"], 2);
  how_.goodput.clear();
  x = nlohmann::json::parse(serve_bench_json(how_, sum_));
  EXPECT_FALSE(x.contains("request_goodput"));
}

TEST_F(BenchServeReport, SaysWhatSpoilsTheFigures) {
  auto calm = table();
  for (auto words : {"client itself was late", "failed, ", "did not say",
                     "were shortened", "goodput"})
    EXPECT_EQ(calm.find(words), calm.npos) << words;
  sum_.errors["cut"] = {3, "gone"};
  sum_.uncounted = 4;
  how_.num_shortened = 5;
  how_.goodput = "ttft:1s";
  sum_.late_loop = bench::describe({2 * too_late});
  auto all = table();
  for (auto words : {"client itself was late, by up to 20.0 ms",
                     "failed, cut: 3, e.g. gone", "tokens 4 requests had",
                     "5 requests of the trace", "Request goodput (req/s)"})
    EXPECT_NE(all.find(words), all.npos) << words << "\n" << all;
}

} // namespace
