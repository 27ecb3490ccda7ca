#include "runtime/tracing/overlap.hpp"

#include "runtime/tracing/flights.hpp"
#include "runtime/tracing/interval_set.hpp"
#include "tests/unit/runtime/spans.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;
using std::chrono::microseconds;

interval_set set_of(std::vector<std::pair<int, int>> all) {
  std::vector<interval_set::interval> out;
  for (auto& [from, to] : all)
    out.push_back({at_us(from), at_us(to)});
  return interval_set{out};
}

} // namespace

TEST(IntervalSet, UnitesAndIntersects) {
  auto x = set_of({{10, 20}, {0, 5}, {15, 25}, {25, 30}, {40, 40}});
  EXPECT_EQ(x.all(), set_of({{0, 5}, {10, 30}}).all());
  EXPECT_EQ(x.length(), microseconds{25});
  EXPECT_EQ(x.united(set_of({{4, 11}})).all(), set_of({{0, 30}}).all());
  EXPECT_EQ(x.intersected(set_of({{4, 12}, {29, 50}})).all(),
            set_of({{4, 5}, {10, 12}, {29, 30}}).all());
  EXPECT_EQ(x.intersected(interval_set{}).length(), microseconds{0});
}

TEST(Flights, TheNthSentIsTheNthThatArrives) {
  auto all = two_lanes();
  auto& sent = all[0].tracks[3].spans;
  auto& arrived = all[1].tracks[1].spans;
  sent.push_back(span_of(span_kind::dispatch_sent, 21, 21, 0, 1, 1));
  arrived.push_back(span_of(span_kind::dispatch_arrived, 36, 36, 0, 1, 0));
  auto out = match_flights(all);
  EXPECT_EQ(out.num_unmatched, 0u);
  ASSERT_EQ(out.flights.size(), 5u);
  EXPECT_EQ(out.flights[0].sent, at_us(10));
  EXPECT_EQ(out.flights[0].arrived, at_us(25));
  EXPECT_EQ(out.flights[0].from, 0);
  EXPECT_EQ(out.flights[0].to, 1);
  EXPECT_EQ(out.flights[2].sent, at_us(21));
  EXPECT_EQ(out.flights[2].arrived, at_us(36));
  EXPECT_EQ(out.flights[3].of.what, span_kind::combine_sent);
  EXPECT_EQ(out.flights[3].from, 1);
}

TEST(Flights, OneEndAloneIsNoneAndCounted) {
  auto all = two_lanes();
  all[1].tracks[1].spans.pop_back();
  auto out = match_flights(all);
  EXPECT_EQ(out.num_unmatched, 1u);
  EXPECT_EQ(out.flights.size(), 3u);
  all[0].tracks[3].spans[0].peer = 0; // to itself
  EXPECT_EQ(match_flights(all).flights.size(), 2u);
}

TEST(Overlap, KnownTimesGiveKnownFigures) {
  auto out = measure_overlap(two_lanes());
  ASSERT_EQ(out.ranks.size(), 1u);
  auto& x = out.ranks[0];
  EXPECT_EQ(x.num_steps, 2u);
  EXPECT_EQ(x.out, microseconds{90});
  EXPECT_EQ(x.busy, microseconds{40});
  EXPECT_EQ(x.waiting, microseconds{50});
  EXPECT_EQ(x.experts, microseconds{0}) << "they are on another node";
  // 10-25, 20-35, 35-50 and 45-70.
  EXPECT_EQ(x.communication, microseconds{60});
  EXPECT_EQ(x.hidden, microseconds{20}) << "10-20 and 50-60";
  EXPECT_EQ(x.exposed, microseconds{40});
  ASSERT_EQ(out.workers.size(), 1u);
  EXPECT_EQ(out.workers[0].num_runs, 2u);
  EXPECT_EQ(out.workers[0].num_pairs, 16u);
  EXPECT_EQ(out.workers[0].length, microseconds{15});
  EXPECT_EQ(out.workers[0].busy, microseconds{15});
  auto text = to_string(out);
  EXPECT_NE(text.find(" 44.4 %"), text.npos) << text;
  EXPECT_EQ(text.find("missing"), text.npos) << text;
}

TEST(Overlap, ExpertsOfTheSameNodeHideCommunicationToo) {
  auto all = two_lanes();
  all[0].tracks.push_back(
    {track_kind::worker, 1, 0, {span_of(span_kind::run, 20, 30)}});
  auto out = measure_overlap(all);
  EXPECT_EQ(out.ranks.at(0).experts, microseconds{10});
  EXPECT_EQ(out.ranks.at(0).hidden, microseconds{30});
  EXPECT_EQ(out.ranks.at(0).busy, microseconds{40});
}

TEST(Overlap, WhatIsOlderThanATrackIsLeftOut) {
  auto all = two_lanes();
  all[0].tracks[2].num_missing = 5;
  all[0].tracks[2].spans.erase(all[0].tracks[2].spans.begin(),
                               all[0].tracks[2].spans.begin() + 2);
  auto whole = whole_part(all); // from 20 on
  auto out = measure_overlap(whole);
  EXPECT_EQ(out.num_missing, 5u);
  EXPECT_NE(to_string(out).find("5 older spans are missing"),
            std::string::npos);
  EXPECT_EQ(out.ranks.at(0).num_steps, 0u) << "both began before";
  EXPECT_EQ(whole[0].tracks[2].spans.size(), 2u);
  EXPECT_EQ(whole[1].tracks[0].spans.size(), 4u);
}
