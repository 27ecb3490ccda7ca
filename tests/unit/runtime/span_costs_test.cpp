#include "runtime/tracing/span_costs.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Two nodes: a rank whose stages take 10 us and 2 us a row, a worker whose
/// runs take 5 us and 3 us a pair, and frames that take 7 us and 1 ns a byte.
/// A head takes 40 us and 6 us for each row with logits, of which there are
/// few.
std::vector<node_spans> trace_of(uint32_t num_steps) {
  node_spans a, b;
  b.node = 1;
  track_spans lane{track_kind::lane, 0, 0, {}};
  track_spans compute{track_kind::compute, 0, 0, {}};
  track_spans worker{track_kind::worker, 0, 0, {}};
  track_spans sent{track_kind::sent, 0, 0, {}};
  track_spans arrived{track_kind::arrived, 0, 0, {}};
  clock::instant at{1s};
  for (uint32_t i = 1; i <= num_steps; ++i) {
    auto rows = 1 + i * 37 % 100;
    span x;
    x.what = span_kind::prepare;
    x.step = x.serial = i;
    x.begin = at;
    x.end = at + 10us + rows * 2us;
    compute.spans.push_back(x);
    auto head = x;
    head.what = span_kind::head;
    head.amount = 1 + i % 4;
    head.begin = x.end;
    head.end = head.begin + 40us + head.amount * 6us;
    compute.spans.push_back(head);
    x.what = span_kind::step;
    x.amount = rows;
    x.end += 1ms;
    lane.spans.push_back(x);
    x.what = span_kind::run;
    x.end = x.begin + 5us + rows * 3us;
    worker.spans.push_back(x);
    x.what = span_kind::dispatch_sent;
    x.peer = 1;
    x.amount = rows * 1000;
    x.end = x.begin;
    sent.spans.push_back(x);
    x.what = span_kind::dispatch_arrived;
    x.peer = 0;
    x.begin = x.end = at + 7us + rows * 1us;
    arrived.spans.push_back(x);
    at += 3ms;
  }
  a.tracks = {lane, compute, sent};
  b.tracks = {worker, arrived};
  return {a, b};
}

TEST(SpanCosts, AreThoseOfWhatWasRecorded) {
  auto x = learn_costs(trace_of(50));
  step_load load;
  load.absorbed.rows = 20;
  EXPECT_NEAR(x.seconds(stage::prepare, load), 50e-6, 1e-9);
  EXPECT_NEAR(x.run_seconds({20, 0}), 65e-6, 1e-9);
  EXPECT_NEAR(x.frame_seconds(20000), 27e-6, 1e-9);
  EXPECT_EQ(x.seconds(stage::route, load), 0);
  load.absorbed.rows = 3;
  EXPECT_NEAR(x.seconds(stage::head, load), 58e-6, 1e-9);
  auto text = to_string(x.parameters());
  EXPECT_NE(text.find("frame           once                  7.00000 us"),
            std::string::npos)
    << text;
}

/// Of a step that began before the first one that is kept.
TEST(SpanCosts, LeaveOutStagesOfStepsThatAreNotThere) {
  auto all = trace_of(1);
  all[0].tracks[0].spans.clear();
  auto names = learn_costs(all).parameters();
  EXPECT_TRUE(
    std::ranges::none_of(names, [](auto& x) { return x.of == "prepare"; }));
}

} // namespace
