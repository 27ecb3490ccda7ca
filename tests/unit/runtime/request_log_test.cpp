/// What became of requests, by their names.

#include "runtime/tracing/request_log.hpp"

#include "tests/unit/runtime/hand_clock.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

clock::instant at(int second) {
  return clock::instant{std::chrono::seconds{second}};
}

generation_event tokens(std::vector<int32_t> ids) {
  generation_event out;
  out.tokens = std::move(ids);
  return out;
}

} // namespace

TEST(RequestLog, HasWhatHappenedWhen) {
  hand_clock time;
  request_log log{time};
  generation_request what;
  what.name = "mine";
  what.prompt = {1, 2, 3};
  time.time = at(1);
  log.accepted(7, what);
  time.time = at(2);
  log.given(7, 5);
  time.time = at(3);
  log.told(7, tokens({4}));
  time.time = at(4);
  log.told(7, tokens({4, 5}));
  request_span x{7, "mine", at(1), at(4), at(3), 3, 3, {{at(2), 5}}};
  EXPECT_EQ(log.read(), std::vector{x}) << "it goes on";
  time.time = at(6);
  generation_event last;
  last.finish = finish_reason::length;
  log.told(7, last);
  log.ended(7); // of which it knows already
  time.time = at(9);
  x.end = at(6);
  EXPECT_EQ(log.read(), std::vector{x});
  log.told(8, last); // of which it has not heard
  log.given(8, 1);
  EXPECT_EQ(log.read().size(), 1u);
}

TEST(RequestLog, KeepsTheLatest) {
  hand_clock time;
  request_log log{time};
  constexpr auto most = request_log::max_kept;
  for (request_id id = 1; id <= most + 3; ++id) {
    log.accepted(id, {});
    log.ended(id);
  }
  log.accepted(most + 4, {});
  auto all = log.read();
  ASSERT_EQ(all.size(), most + 1);
  EXPECT_EQ(all.front().number, 4u);
  EXPECT_EQ(all.back().number, most + 4);
}
