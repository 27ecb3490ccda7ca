#include "runtime/balance/load_table.hpp"

#include "runtime/balance/plan_file.hpp"

#include <gtest/gtest.h>

namespace troupe::balance {
namespace {

const std::string text = "# Counts.\n"
                         "source,layer,e0,e1,e2\r\n"
                         "law,3,5,0,7\n"
                         "law,4,1,2,3\n"
                         "\n"
                         "intent,4,10,20,30\n"
                         "intent,3,50,0,70\n";

TEST(LoadTable, ReadsOneSourceOrAllAddedUp) {
  auto law = parse_loads(text, "loads", "law");
  ASSERT_TRUE(law) << law.why().message;
  EXPECT_EQ(law->num_experts, 3u);
  EXPECT_EQ(law->layers, (std::vector<uint32_t>{3, 4}));
  EXPECT_EQ(law->loads[1], (std::vector<double>{1, 2, 3}));
  auto all = parse_loads(text, "loads", {});
  ASSERT_TRUE(all) << all.why().message;
  EXPECT_EQ(all->loads[0], (std::vector<double>{55, 0, 77}));
}

TEST(LoadTable, WhatIsWrittenIsReadAgain) {
  auto law = parse_loads(text, "loads", "law");
  auto again = parse_loads(to_csv(*law, "x"), "again", "x");
  ASSERT_TRUE(again) << again.why().message;
  EXPECT_EQ(*again, *law);
}

TEST(LoadTable, SaysInWhichLineWhatIsWrong) {
  struct bad {
    const char* text;
    const char* why;
  };

  const bad cases[] = {
    {"", "x: there is no row of loads"},
    {"a,b,c\n", "x: line 1 is not the header"},
    {"source,layer,e0,e2\n", "x: line 1 has no column e1"},
    {"source,layer,e0\na,1\n", "x: line 2 has 2 fields instead of 3"},
    {"source,layer,e0\na,one,1\n", "x: line 2 has no layer"},
    {"source,layer,e0\na,1,-1\n", "x: line 2 has no load"},
    {"source,layer,e0\na,1,nan\n", "x: line 2 has no load"},
    {"source,layer,e0\na,1,1 \n", "x: line 2 has no load"},
    {"source,layer,e0\na,1,1\na,1,2\n", "x: line 3 is layer 1 again"},
    {"source,layer,e0\na,1,1\nb,2,2\n", "other layers than the rest"},
  };
  for (auto& x : cases) {
    auto read = parse_loads(x.text, "x", {});
    ASSERT_FALSE(read) << x.text;
    EXPECT_NE(read.why().message.find(x.why), std::string::npos)
      << read.why().message;
  }
  auto none = parse_loads(text, "x", "news");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.why().message,
            "x: there is no source \"news\", only intent, law");
}

TEST(AgedLoads, WhatIsOldCountsLess) {
  aged_loads loads{{3, 4}, 2, 10};
  loads.see(0, std::vector<uint32_t>{8, 0});
  loads.age(10);
  loads.see(0, std::vector<uint32_t>{0, 8});
  loads.age(20);
  loads.see(1, std::vector<uint32_t>{1, 1});
  EXPECT_NEAR(loads.table().loads[0][0], 1, 1e-12);
  EXPECT_NEAR(loads.table().loads[0][1], 2, 1e-12);
  EXPECT_EQ(loads.table().loads[1], (std::vector<double>{1, 1}));
  EXPECT_EQ(loads.table().layers, (std::vector<uint32_t>{3, 4}));
}

TEST(PlanFile, WhatIsWrittenIsReadAgain) {
  const layout_shape shape{3, 4, 2};
  plan_report report{
    0.5, 2, {{3, {{0, 1, 2, 0}, {0.25, 1, 1, 0.75}}, 0.9, 17.5}}};
  auto again = parse_plan(to_json(report), "plan", shape);
  ASSERT_TRUE(again) << again.why().message;
  ASSERT_EQ(again->size(), 1u);
  EXPECT_EQ(again->front().layer, 3u);
  EXPECT_EQ(again->front().layout, report.layers[0].layout);
  auto table = to_text(report, shape, {{{7, 14, 14}}});
  EXPECT_NE(table.find("0.9000    1.0000"), std::string::npos) << table;
}

TEST(PlanFile, WithoutWeightsSharesAreEven) {
  auto read = parse_plan(
    R"({"layers": [{"layer": 1, "physical_to_logical": [0, 1, 2, 0]}]})", "x",
    {3, 4, 2});
  ASSERT_TRUE(read) << read.why().message;
  EXPECT_EQ(read->front().layout.shares, (std::vector<double>{.5, 1, 1, .5}));
}

TEST(PlanFile, SaysWhatIsWrong) {
  struct bad {
    const char* text;
    const char* why;
  };

  const bad cases[] = {
    {"[]", "x: there is no list \"layers\""},
    {"{", "x"},
    {R"({"layers": [3]})", "x: layers[0]: must be an object"},
    {R"({"layers": [{}]})", "layer must be a whole number"},
    {R"({"layers": [{"layer": 1}]})", "must be a list of 4 experts"},
    {R"({"layers": [{"layer": 1, "physical_to_logical": [0, 1, 2, 3]}]})",
     "must have experts below 3"},
    {R"({"layers": [{"layer": 1, "physical_to_logical": [0, 1, 1, 0]}]})",
     "expert 2 has no slot"},
    {R"({"layers": [{"layer": 1, "physical_to_logical": [0, 1, 2, 0],
         "weights": [0, 1, 1, 0]}]})",
     "weights must be a list of 4 numbers"},
  };
  for (auto& x : cases) {
    auto read = parse_plan(x.text, "x", {3, 4, 2});
    ASSERT_FALSE(read) << x.text;
    EXPECT_NE(read.why().message.find(x.why), std::string::npos)
      << read.why().message;
  }
}

} // namespace
} // namespace troupe::balance
