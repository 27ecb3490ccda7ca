#include "deploy/top_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace troupe;
using nlohmann::json;

namespace {

json answer(int tokens, int num_ranks = 1) {
  json out{{"view", 2},
           {"epochs", {1}},
           {"takes_requests", true},
           {"trouble", ""},
           {"nodes",
            {{{"node", 0},
              {"name", "front"},
              {"state", "serving"},
              {"network_bytes_sent", 1000 * tokens}}}},
           {"ranks", json::array()},
           {"workers",
            {{{"worker", 0}, {"node", 0}, {"runs", tokens}, {"rows", tokens}}}},
           {"layers", json::array()}};
  for (int i = 0; i < num_ranks; ++i)
    out["ranks"].push_back({{"rank", i},
                            {"node", 0},
                            {"running", 3},
                            {"waiting", 1},
                            {"kv_blocks", 8},
                            {"kv_blocks_free", 2},
                            {"steps", tokens},
                            {"tokens", tokens}});
  return out;
}

std::string text(const std::vector<std::string>& lines) {
  std::string out;
  for (auto& x : lines)
    out += x + "\n";
  return out;
}

} // namespace

TEST(TopView, ShowsRatesBetweenTwoAnswers) {
  top_view x;
  ASSERT_TRUE(x.take(answer(100).dump(), 0));
  ASSERT_TRUE(x.take(answer(300).dump(), 2));
  auto shown = text(x.lines(50, 120));
  EXPECT_NE(shown.find("3 requests run, 1 wait   100 tokens/s"), shown.npos)
    << shown;
  EXPECT_NE(shown.find("100 kB/s"), shown.npos) << shown;
  EXPECT_NE(shown.find("############....  75 %"), shown.npos) << shown;
}

TEST(TopView, ShowsBalanceWhereThereIsAny) {
  top_view x;
  auto told = answer(100);
  ASSERT_TRUE(x.take(told.dump(), 0));
  EXPECT_EQ(text(x.lines(50, 120)).find("balance"), std::string::npos);
  told["balance"]
    = {{"balance", 0.5}, {"planned", 0.75}, {"moved", 12}, {"changes", 3}};
  ASSERT_TRUE(x.take(told.dump(), 1));
  EXPECT_NE(text(x.lines(50, 120))
              .find("balance of workers 0.50 found, 0.75 planned   12 experts "
                    "moved by 3 changes"),
            std::string::npos);
  told["request_balance"] = {{"moved", 5}, {"refused", 1}};
  told["request_moves"] = {{{"reason", "first"}}, {{"reason", "moved\n7"}}};
  ASSERT_TRUE(x.take(told.dump(), 1));
  EXPECT_NE(text(x.lines(50, 120)).find("5 requests moved, 1 stayed   moved?7"),
            std::string::npos);
}

TEST(TopView, StaysWithinTheTerminal) {
  top_view x;
  ASSERT_TRUE(x.take(answer(1, 144).dump(), 0));
  for (size_t height : {0, 1, 5, 24, 60})
    for (size_t width : {10, 80}) {
      auto lines = x.lines(height, width);
      EXPECT_LE(lines.size(), height);
      for (auto& line : lines)
        EXPECT_LE(line.size(), width);
    }
  auto shown = text(x.lines(30, 120));
  EXPECT_NE(shown.find("... and "), shown.npos) << shown;
}

TEST(TopView, NamesGiveNoOrdersToTheTerminal) {
  auto bad = answer(1);
  bad["nodes"][0]["name"] = "a\x1b[2Jb";
  bad["trouble"] = "x\ny";
  top_view x;
  ASSERT_TRUE(x.take(bad.dump(), 0));
  for (auto& line : x.lines(50, 120))
    EXPECT_EQ(std::ranges::count_if(line, [](char c) { return c < 32; }), 0);
}

TEST(TopView, SaysWhoIsLeaving) {
  auto leaving = answer(1);
  leaving["drain"] = "node b: experts 1 of 2 moved, 0 requests left";
  top_view x;
  ASSERT_TRUE(x.take(leaving.dump(), 0));
  EXPECT_EQ(
    std::ranges::count(x.lines(50, 120), leaving["drain"].get<std::string>()),
    1);
}

TEST(TopView, SaysWhatIsNoAnswer) {
  top_view x;
  for (auto text : {"", "[]", "{}", "{\"nodes\":"})
    EXPECT_FALSE(x.take(text, 1)) << text;
}

/// Another version's, with fields missing or of another kind.
TEST(TopView, TakesWhatItKnows) {
  top_view x;
  ASSERT_TRUE(x.take(R"({"nodes": [{}, {"name": 5, "state": []}],
                         "ranks": [{"rank": "x"}], "workers": {}, "view": "3",
                         "epochs": 4, "trouble": 7, "layers": [{}]})",
                     1));
  EXPECT_FALSE(x.lines(50, 100).empty());
}
