#include "runtime/http/cluster_answer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace troupe;
using nlohmann::json;

namespace {

cluster_status small() {
  cluster_status x;
  x.view = 3;
  x.epochs = {4};
  x.takes_requests = true;
  x.trouble = "node b was lost: silence";
  x.nodes = {{0, "a", "serving", "", 0xab, 17},
             {1, "b\xff", "lost", "silence", 0, 0}};
  x.ranks = {{2, 1, 3, 4, 10, 5, 1, 100, 200}};
  x.workers = {{6, 1, 7, 8}};
  x.layers = {{0, 1, {{5, {{6, 0}}}, {9, {{6, 1}, {7, 0}}}}},
              {1, 2, {{0, {}}}}};
  return x;
}

} // namespace

TEST(ClusterAnswer, TellsWhoIsThereAndWhatTheyDo) {
  auto x = json::parse(http::render_cluster(small()));
  EXPECT_EQ(x["view"], 3);
  EXPECT_EQ(x["epochs"], json({4}));
  EXPECT_EQ(x["takes_requests"], true);
  EXPECT_EQ(x["nodes"][0]["incarnation"], "00000000000000ab");
  EXPECT_FALSE(x["nodes"][0].contains("why"));
  EXPECT_EQ(x["nodes"][1]["name"], "b\uFFFD") << "a name may be any bytes";
  EXPECT_EQ(x["nodes"][1]["why"], "silence");
  EXPECT_EQ(x["ranks"][0]["kv_blocks_cached"], 1);
  EXPECT_EQ(x["workers"][0]["rows"], 8);
  EXPECT_EQ(x["layers"][0], json({{"unit", 0},
                                  {"layer", 1},
                                  {"experts", 2},
                                  {"replicas", 3},
                                  {"rows", 14},
                                  {"most_rows", 9},
                                  {"most_asked", 1}}));
  EXPECT_FALSE(x["layers"][1].contains("most_asked")) << "nobody was asked";
}

TEST(ClusterAnswer, TellsWhereExpertsAre) {
  auto x = json::parse(http::render_experts(small()));
  EXPECT_EQ(x["layers"][0]["rows"], json({5, 9}));
  EXPECT_EQ(x["layers"][0]["replicas"][1], json({{6, 1}, {7, 0}}));
}

TEST(ClusterAnswer, TellsWhatMovedAndWhy) {
  auto x = small();
  EXPECT_FALSE(json::parse(http::render_cluster(x)).contains("moves"));
  balance_status done;
  done.plans = 3;
  done.changes = 2;
  done.changes_refused = 1;
  done.moves = 4;
  done.balance = 0.5;
  done.planned = 0.75;
  done.gain = 0.25;
  done.recent = {{1, 4, 1, 7, 2, 3, "worker 2 got too much", 0.125},
                 {0, 5, 1, 8, {}, 0, "so did it again", 0.25}};
  x.balance = std::make_shared<const balance_status>(done);
  auto told = json::parse(http::render_cluster(x));
  EXPECT_EQ(told["balance"], json({{"plans", 3},
                                   {"changes", 2},
                                   {"moved", 4},
                                   {"refused", 1},
                                   {"balance", 0.5},
                                   {"planned", 0.75},
                                   {"gain", 0.25}}));
  EXPECT_EQ(told["moves"][0], json({{"unit", 1},
                                    {"epoch", 4},
                                    {"layer", 1},
                                    {"expert", 7},
                                    {"from", 2},
                                    {"to", 3},
                                    {"reason", "worker 2 got too much"},
                                    {"gain", 0.125}}));
  EXPECT_FALSE(told["moves"][1].contains("from")) << "it is one more";
}

TEST(ClusterAnswer, TellsWhichRequestsMovedAndWhy) {
  auto x = small();
  EXPECT_FALSE(json::parse(http::render_cluster(x)).contains("request_moves"));
  x.request_balance = std::make_shared<const request_status>(
    request_status{3, 2, 1, {{7, 3, 5, 640, "rank 3 was slow", 0.125}}});
  auto told = json::parse(http::render_cluster(x));
  EXPECT_EQ(told["request_balance"],
            json({{"plans", 3}, {"moved", 2}, {"refused", 1}}));
  EXPECT_EQ(told["request_moves"], json::array({{{"request", 7},
                                                 {"from", 3},
                                                 {"to", 5},
                                                 {"kv_tokens", 640},
                                                 {"reason", "rank 3 was slow"},
                                                 {"gain", 0.125}}}));
}
