#include "runtime/sim/trace.hpp"

#include <gtest/gtest.h>

#include <set>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

trace_entry sent(uint64_t id) {
  return {.kind = trace_kind::frame_sent,
          .at = world_begin + 1500ms,
          .node = 3,
          .peer = 5,
          .frame = frame_class::dispatch,
          .a = id,
          .b = trace_frame(0x1234, 64)};
}

uint64_t hash_of(std::initializer_list<trace_entry> entries) {
  trace x;
  for (auto& entry : entries)
    x.record(entry);
  return x.hash();
}

} // namespace

TEST(SimTrace, EveryKindIsFoundByItsName) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < num_trace_kinds; ++i) {
    auto name = to_string(trace_kind(i));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(parse_trace_kind(name), trace_kind(i));
  }
  EXPECT_EQ(to_string(trace_kind::fault_healed), "fault_healed");
  EXPECT_FALSE(parse_trace_kind("frame"));
}

TEST(SimTrace, HashKnowsEachFieldAndTheOrder) {
  auto x = sent(1);
  std::set<uint64_t> seen{0, hash_of({x}), hash_of({x, x})};
  auto expect_other = [&](auto change) {
    auto y = x;
    change(y);
    EXPECT_TRUE(seen.insert(hash_of({y})).second);
  };
  expect_other([](auto& y) { y.kind = trace_kind::frame_arrived; });
  expect_other([](auto& y) { y.at += 1ns; });
  expect_other([](auto& y) { y.node = 4; });
  expect_other([](auto& y) { y.peer = 3; });
  expect_other([](auto& y) { y.frame = frame_class::combine; });
  expect_other([](auto& y) { y.a = 2; });
  expect_other([](auto& y) { y.b = 2; });
  EXPECT_EQ(hash_of({x, sent(2)}), hash_of({x, sent(2)}));
  EXPECT_NE(hash_of({x, sent(2)}), hash_of({sent(2), x}));
}

TEST(SimTrace, KeepsTheLastEntriesAndCountsAll) {
  trace x;
  for (uint64_t i = 0; i < 2 * trace::num_kept + 7; ++i)
    x.record(sent(i));
  auto last = x.last();
  ASSERT_EQ(last.size(), trace::num_kept);
  for (size_t i = 0; i < last.size(); ++i)
    EXPECT_EQ(last[i].a, trace::num_kept + 7 + i);
  EXPECT_EQ(x.count(trace_kind::frame_sent), 2 * trace::num_kept + 7);
  EXPECT_EQ(x.count(trace_kind::frame_arrived), 0u);
}

TEST(SimTrace, ObserversHearEachEntryInOrderAlsoOfThoseTheyRecord) {
  trace x;
  std::vector<uint64_t> first, second;
  x.observe([&](auto& entry) {
    first.push_back(entry.a);
    if (entry.a == 1) {
      x.record(sent(2));
      x.record(sent(3));
    }
  });
  x.observe([&](auto& entry) { second.push_back(entry.a); });
  x.record(sent(1));
  x.record(sent(4));
  EXPECT_EQ(first, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(second, first);
}

TEST(SimTrace, AnEntryIsOneLineForPeople) {
  EXPECT_EQ(to_string(sent(0xab)), "1.500000000 s  node 3  frame_sent "
                                   "dispatch, peer 5  ab 123400000040");
  trace_entry of_world{.kind = trace_kind::fault_began, .at = world_begin};
  EXPECT_EQ(to_string(of_world), "0.000000000 s  world  fault_began  0 0");
}
