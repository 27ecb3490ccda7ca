#include "deploy/balance_record.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

constexpr auto first = R"({"epochs": [1], "layers": [
  {"layer": 3, "rows": [5, 0], "replicas": []},
  {"layer": 4, "rows": [1, 2], "replicas": []}]})";
constexpr auto then = R"({"epochs": [2], "layers": [
  {"layer": 3, "rows": [9, 1], "replicas": []},
  {"layer": 4, "rows": [0, 2], "replicas": []}]})";

} // namespace

TEST(BalanceRecord, TellsWhatHasComeSinceTheStartOrSinceTheFirstLook) {
  auto all = loads_between("", then);
  ASSERT_TRUE(all) << all.why().message;
  EXPECT_EQ(*all, (balance::load_table{2, {3, 4}, {{9, 1}, {0, 2}}}));
  auto some = loads_between(first, then);
  ASSERT_TRUE(some) << some.why().message;
  // A node has begun anew meanwhile: nothing is less than nothing.
  EXPECT_EQ(*some, (balance::load_table{2, {3, 4}, {{4, 1}, {0, 0}}}));
  EXPECT_EQ(balance::to_csv(*some, "x"),
            "source,layer,e0,e1\nx,3,4,1\nx,4,0,0\n");
}

TEST(BalanceRecord, UnitsAddUp) {
  auto all = loads_between("", R"({"layers": [
    {"unit": 0, "layer": 3, "rows": [5, 0]},
    {"unit": 1, "layer": 3, "rows": [1, 2]}]})");
  ASSERT_TRUE(all) << all.why().message;
  EXPECT_EQ(*all, (balance::load_table{2, {3}, {{6, 2}}}));
}

TEST(BalanceRecord, WhatIsNoAnswerOfTroupeIsRefused) {
  for (auto text :
       {"", "{}", "[1]", R"({"layers": 3})", R"({"layers": [{"layer": 3}]})",
        R"({"layers": [{"layer": 3, "rows": ["a"]}]})"}) {
    auto x = loads_between("", text);
    ASSERT_FALSE(x) << text;
    EXPECT_NE(x.why().message.find("not Troupe's"), std::string::npos);
  }
  auto none = loads_between("", R"({"layers": []})");
  ASSERT_FALSE(none);
  EXPECT_NE(none.why().message.find("is starting"), std::string::npos);
  auto other = loads_between(R"({"layers": [{"layer": 9, "rows": [1, 2]}]})",
                             then);
  ASSERT_FALSE(other);
  EXPECT_NE(other.why().message.find("another model"), std::string::npos);
}
