#include "runtime/tracing/span_recorder.hpp"

#include "tests/unit/runtime/hand_clock.hpp"
#include "tests/unit/runtime/spans.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace {

using namespace troupe;

} // namespace

TEST(SpanRecorder, WhatFollowsBeginsWhereTheLastOneHasEnded) {
  hand_clock time;
  span_recorder all{"a", time, 8};
  all.identify(3);
  auto& track = all.open(track_kind::compute, 2);
  time.time = at_us(5);
  track.begin();
  time.time = at_us(7);
  track.end(span_of(span_kind::prepare, 0, 0));
  time.time = at_us(11);
  track.end(span_of(span_kind::run, 0, 0), {span_of(span_kind::rows, 0, 0)});
  auto out = all.read();
  EXPECT_EQ(out.node, 3);
  EXPECT_EQ(out.name, "a");
  ASSERT_EQ(out.tracks.size(), 1u);
  EXPECT_EQ(out.tracks[0].kind, track_kind::compute);
  EXPECT_EQ(out.tracks[0].number, 2u);
  EXPECT_EQ(out.tracks[0].num_missing, 0u);
  EXPECT_EQ(out.tracks[0].spans,
            (std::vector<span>{span_of(span_kind::prepare, 5, 7),
                               span_of(span_kind::run, 7, 11),
                               span_of(span_kind::rows, 7, 11)}));
}

TEST(SpanRecorder, KeepsTheLatestAndSaysHowManyAreMissing) {
  hand_clock time;
  span_track track{track_kind::sent, 0, 4, time};
  for (int i = 0; i < 4; ++i)
    track.add(span_of(span_kind::dispatch_sent, i, i));
  EXPECT_EQ(track.read().num_missing, 0u);
  for (int i = 4; i < 11; ++i)
    track.add(span_of(span_kind::dispatch_sent, i, i));
  auto out = track.read();
  EXPECT_EQ(out.num_missing, 7u);
  ASSERT_EQ(out.spans.size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(out.spans[size_t(i)].begin, at_us(7 + i));
}

TEST(SpanRecorder, ATrackIsOpenedOnceWhoeverAsks) {
  hand_clock time;
  span_recorder all{"a", time, 8};
  auto* first = &all.open(track_kind::compute, 1);
  EXPECT_NE(first, &all.open(track_kind::copies, 1));
  EXPECT_NE(first, &all.open(track_kind::compute, 0));
  EXPECT_EQ(first, &all.open(track_kind::compute, 1));
  EXPECT_EQ(all.read().tracks.size(), 3u);
}

TEST(SpanRecorder, ManyThreadsLoseNothing) {
  hand_clock time;
  span_recorder all{"a", time, 1000};
  std::vector<std::thread> threads;
  for (uint8_t i = 0; i < 4; ++i)
    threads.emplace_back([&all, i] {
      for (int k = 0; k < 500; ++k)
        all.open(track_kind::sent, 0).add(span_of(span_kind::rows, k, k, i));
    });
  for (auto& x : threads)
    x.join();
  auto track = all.read().tracks.at(0);
  EXPECT_EQ(track.spans.size(), 1000u);
  EXPECT_EQ(track.num_missing, 1000u);
  std::vector<clock::instant> last(4, at_us(-1));
  for (auto& x : track.spans) {
    EXPECT_LT(last[x.lane], x.begin) << "each thread's own are in order";
    last[x.lane] = x.begin;
  }
}
