#include "runtime/tracing/span_file.hpp"

#include "runtime/tracing/layer_picture.hpp"
#include "tests/unit/runtime/spans.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace {

using namespace troupe;
using nlohmann::json;

class SpanFile : public testing::Test {
protected:
  SpanFile() {
    std::filesystem::remove(path_);
  }

  ~SpanFile() override {
    std::filesystem::remove(path_);
  }

  std::string content() const {
    std::ifstream in{path_, std::ios::binary};
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  void put(const std::string& text) const {
    std::ofstream{path_, std::ios::binary} << text;
  }

  const std::filesystem::path path_
    = std::filesystem::path{testing::TempDir()}
      / ("troupe-spans-"
         + std::string{
           testing::UnitTest::GetInstance()->current_test_info()->name()});
};

void expect_equal(const std::vector<node_spans>& a,
                  const std::vector<node_spans>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].node, b[i].node);
    EXPECT_EQ(a[i].name, b[i].name);
    ASSERT_EQ(a[i].tracks.size(), b[i].tracks.size());
    for (size_t k = 0; k < a[i].tracks.size(); ++k) {
      EXPECT_EQ(a[i].tracks[k].kind, b[i].tracks[k].kind);
      EXPECT_EQ(a[i].tracks[k].number, b[i].tracks[k].number);
      EXPECT_EQ(a[i].tracks[k].num_missing, b[i].tracks[k].num_missing);
      EXPECT_EQ(a[i].tracks[k].spans, b[i].tracks[k].spans);
    }
  }
}

} // namespace

TEST_F(SpanFile, IsReadAsItWasWritten) {
  auto all = two_lanes();
  all[0].tracks[2].num_missing = 12;
  all[1].tracks[0].spans[0].end += std::chrono::nanoseconds{7};
  ASSERT_TRUE(write_spans(path_, all));
  auto read = read_spans(path_);
  ASSERT_TRUE(read) << read.why().message;
  all[1].tracks[0].spans
    = {all[1].tracks[0].spans[1], all[1].tracks[0].spans[0],
       all[1].tracks[0].spans[2], all[1].tracks[0].spans[3]}; // by end
  expect_equal(*read, all);
}

TEST_F(SpanFile, HasRequestsForWhoLooksAtIt) {
  auto all = two_lanes();
  auto at = [](int ns) { return clock::instant{std::chrono::nanoseconds{ns}}; };
  request_span x{7, "the \"seventh\"", at(1000), at(9000), at(5000), 3, 2, {}};
  x.owners = {{at(1500), 4}, {at(2000), 5}};
  all[0].requests = {x, {8, "", at(2000), at(3000), {}, 1, 0, {}}};
  ASSERT_TRUE(write_spans(path_, all));
  std::vector<std::string> got;
  auto written = json::parse(content());
  for (auto& e : written["traceEvents"])
    if (e.value("cat", "") == "requests")
      got.push_back(e["ph"].get<std::string>() + " " + e["id"].dump() + " "
                    + e["name"].get<std::string>() + " " + e["ts"].dump());
  EXPECT_EQ(
    got, (std::vector<std::string>{"b 7 the \"seventh\" 1.0", "n 7 rank 4 1.5",
                                   "n 7 rank 5 2.0", "n 7 first token 5.0",
                                   "e 7 the \"seventh\" 9.0",
                                   "b 8 request 8 2.0", "e 8 request 8 3.0"}));
  EXPECT_TRUE(read_spans(path_));
}

TEST_F(SpanFile, IsJsonWithProcessesThreadsAndArrows) {
  ASSERT_TRUE(write_spans(path_, two_lanes()));
  auto all = json::parse(content())["traceEvents"];
  std::map<std::string, int> phases;
  std::map<std::string, std::set<std::string>> arrows;
  std::set<std::string> threads;
  for (auto& x : all) {
    auto phase = x["ph"].get<std::string>();
    ++phases[phase];
    if (x["name"] == "process_name" && x["pid"] == 0) {
      EXPECT_EQ(x["args"]["name"], "front \"a\"");
    }
    if (x["name"] == "thread_name")
      threads.insert(x["args"]["name"]);
    if (phase == "s" || phase == "t" || phase == "f")
      arrows[x["id"]].insert(phase);
  }
  EXPECT_EQ(phases["X"], 19);
  EXPECT_EQ(phases["b"], 4);
  EXPECT_EQ(phases["e"], 4);
  for (auto name : {"rank 0 compute", "rank 0 lane 1", "worker 0",
                    "link to node 1", "link from node 0"})
    EXPECT_TRUE(threads.contains(name)) << name;
  const std::set<std::string> whole{"s", "t", "f"};
  EXPECT_EQ(arrows,
            (std::map<std::string, std::set<std::string>>{
              {"0000000010000001", whole}, {"0000100010000002", whole}}));
}

TEST_F(SpanFile, WhatIsNoneIsRefusedWithItsName) {
  auto why = [&] {
    auto read = read_spans(path_);
    return read ? "" : read.why().message;
  };
  EXPECT_NE(why().find("no such file"), std::string::npos);
  put("{}");
  EXPECT_NE(why().find("no trace"), std::string::npos);
  ASSERT_TRUE(write_spans(path_, two_lanes()));
  auto good = content();
  put(good.substr(0, good.size() / 2));
  EXPECT_NE(why(), "");
  for (auto [from, to] : std::vector<std::pair<std::string, std::string>>{
         {"\"what\":2", "\"what\":99"},
         {"\"pid\":0", "\"pid\":-1"},
         {"\"tid\":1048576,\"ts\"", "\"tid\":99999999,\"ts\""},
         {"\"ts\":36", "\"ts\":-36"},
         {"\"lane\":1", "\"lane\":256"},
         {"\"args\":{\"what\"", "\"arms\":{\"what\""}}) {
    auto bad = good;
    auto found = bad.find(from);
    ASSERT_NE(found, bad.npos) << from;
    put(bad.replace(found, from.size(), to));
    EXPECT_NE(why().find(path_.filename().string()), std::string::npos) << to;
  }
}

TEST_F(SpanFile, AFullDiskIsAFailure) {
  EXPECT_FALSE(write_spans("/dev/full", two_lanes()));
}

TEST(LayerPicture, ChoosesTheLayerBesideWhichOthersWere) {
  auto what = choose_layer(two_lanes(), 0);
  ASSERT_TRUE(what);
  EXPECT_EQ(what->step, 1u) << "in the other's time nobody else began";
  EXPECT_EQ(what->layer, 3);
  EXPECT_EQ(what->begin, at_us(0));
  EXPECT_EQ(what->end, at_us(60));
  EXPECT_FALSE(choose_layer(two_lanes(), 1));
  EXPECT_FALSE(choose_layer({}, 0));
}

TEST(LayerPicture, HasABoxForWhatWasComputedAndWhatWasAway) {
  auto all = two_lanes();
  auto text = draw_layer(all, *choose_layer(all, 0));
  for (auto name :
       {"PREPARE 0: 6.0 us", "ATTENTION 0: 4.0 us", "PREPARE 1: 10.0 us",
        "ADD 0: 10.0 us", "DISPATCH 0: 15.0 us", "DISPATCH 1: 15.0 us",
        "COMBINE 0: 15.0 us", "COMBINE 1: 25.0 us", "MLP 0: 5.0 us",
        "MLP 1: 10.0 us"})
    EXPECT_NE(text.find(std::string{"<title>"} + name), text.npos)
      << name << "\n"
      << text;
  EXPECT_NE(text.find(">experts, node 1<"), text.npos);
  EXPECT_EQ(text.find("ADD 1"), text.npos) << "that is later";
}

TEST(LayerPicture, EveryTagIsClosed) {
  auto all = two_lanes();
  auto text = draw_layer(all, *choose_layer(all, 0));
  const std::regex tag{"<(/?)([a-z]+)[^<>]*?(/?)>"};
  std::vector<std::string> open;
  for (std::sregex_iterator i{text.begin(), text.end(), tag}, end; i != end;
       ++i) {
    auto& m = *i;
    if (m[1].length() > 0) {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), m[2]);
      open.pop_back();
    } else if (m[3].length() == 0) {
      open.push_back(m[2]);
    }
  }
  EXPECT_TRUE(open.empty());
}
