#include "runtime/cluster/open_requests.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace troupe {
namespace {

const failure fire{errc::step_failed, "the stage is on fire"};

class OpenRequests : public testing::Test {
protected:
  request_id open() {
    auto id = requests_.open(
      [this](const generation_event& event) { heard_.push_back(event); }, 4);
    EXPECT_TRUE(id);
    return *id;
  }

  static generation_event tokens(uint32_t position, std::vector<int32_t> ids,
                                 finish_reason finish = finish_reason::none) {
    generation_event out;
    out.first_position = position;
    out.tokens = std::move(ids);
    out.finish = finish;
    return out;
  }

  open_requests requests_;
  std::vector<generation_event> heard_;
};

TEST_F(OpenRequests, HearTokensUntilTheirEndAndNothingAfterIt) {
  auto id = open();
  requests_.deliver(id, tokens(0, {5, 6}));
  EXPECT_TRUE(requests_.has(id));
  EXPECT_EQ(requests_.counted().open, 1u);
  requests_.deliver(id, tokens(2, {7}, finish_reason::stop));
  EXPECT_FALSE(requests_.has(id));
  requests_.deliver(id, tokens(3, {8}));
  requests_.fail(id, fire);
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[1].finish, finish_reason::stop);
  EXPECT_EQ(requests_.counted().open, 0u);
  EXPECT_EQ(requests_.counted().finished, 1u);
}

TEST_F(OpenRequests, FailAfterWhatTheyHaveHeard) {
  auto id = open();
  requests_.deliver(id, tokens(0, {5, 6}));
  requests_.fail(id, fire);
  requests_.fail(id, fire);
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[1].first_position, 2u);
  EXPECT_EQ(heard_[1].finish, finish_reason::failed);
  EXPECT_EQ(heard_[1].cause->message, fire.message);
  EXPECT_EQ(requests_.counted().failed, 1u);
  requests_.fail(open(), {errc::cancelled, "enough"});
  EXPECT_EQ(requests_.counted().cancelled, 1u);
}

TEST_F(OpenRequests, CountAsFinishedIfTheyAreCancelledOnceTheyHaveEnough) {
  const failure cancelled{errc::cancelled, "the client has gone"};
  auto id = open();
  requests_.deliver(id, tokens(0, {5, 6}));
  requests_.enough(id);
  requests_.fail(id, cancelled);
  EXPECT_EQ(requests_.counted().finished, 1u);
  EXPECT_EQ(requests_.counted().cancelled, 0u);
  requests_.enough(id); // it is known no more
  id = open();
  requests_.enough(id);
  requests_.fail(id, fire);
  EXPECT_EQ(requests_.counted().failed, 0u) << "its client has all of it";
  requests_.fail(open(), cancelled);
  EXPECT_EQ(requests_.counted().finished, 2u);
  EXPECT_EQ(requests_.counted().cancelled, 1u);
}

TEST_F(OpenRequests, AllHearOfTheEndWhenTheyAreClosed) {
  for (int i = 0; i < 3; ++i)
    open();
  requests_.deliver(2, tokens(0, {9}));
  requests_.close(fire);
  ASSERT_EQ(heard_.size(), 4u);
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(heard_[i].finish, finish_reason::failed);
    EXPECT_EQ(heard_[i].first_position, i == 2 ? 1u : 0u);
    EXPECT_EQ(heard_[i].cause->message, fire.message);
  }
  EXPECT_EQ(requests_.counted().open, 0u);
  EXPECT_EQ(requests_.counted().failed, 3u);
}

TEST_F(OpenRequests, AreRefusedWithTheFirstCauseOnceClosed) {
  EXPECT_FALSE(requests_.closed());
  requests_.close(fire);
  requests_.close({errc::cancelled, "too late"});
  ASSERT_TRUE(requests_.closed());
  auto id = requests_.open([](auto&) { FAIL(); }, 4);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.why().code, fire.code);
  EXPECT_EQ(id.why().message, fire.message);
  EXPECT_EQ(requests_.counted().accepted, 0u);
}

TEST_F(OpenRequests, AreRefusedAboveTheLimitUntilOneEnds) {
  for (int i = 0; i < 4; ++i)
    open();
  auto full = requests_.open([](auto&) {}, 4);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.why().code, errc::overloaded);
  requests_.fail(3, fire);
  EXPECT_EQ(open(), 5u);
}

TEST_F(OpenRequests, MayBeOpenedByTheOneWhoHearsOfAnEnd) {
  std::optional<result<request_id>> next;
  auto id = requests_.open(
    [&](const generation_event&) { next = requests_.open([](auto&) {}, 1); },
    1);
  requests_.fail(*id, fire);
  ASSERT_TRUE(next);
  EXPECT_TRUE(*next) << next->why().message;
}

TEST_F(OpenRequests, EndOnceWhoeverComesFirst) {
  constexpr int num_requests = 200;
  std::vector<std::atomic<int>> ends(num_requests);
  std::vector<std::atomic<uint32_t>> position(num_requests);
  for (int i = 0; i < num_requests; ++i)
    ASSERT_TRUE(requests_.open(
      [&, i](const generation_event& event) {
        EXPECT_EQ(ends[i], 0) << "nothing comes after the end";
        EXPECT_EQ(event.first_position, position[i]);
        position[i] += uint32_t(event.tokens.size());
        ends[i] += event.finish != finish_reason::none;
      },
      num_requests));
  std::thread gateway{[&] {
    for (uint32_t step = 0; step < 20; ++step)
      for (request_id id = 1; id <= num_requests; ++id)
        requests_.deliver(
          id, tokens(step, {7},
                     step == 19 ? finish_reason::length : finish_reason::none));
  }};
  requests_.close(fire);
  for (auto& x : ends)
    EXPECT_EQ(x, 1) << "all have ended when close returns";
  gateway.join();
  EXPECT_EQ(requests_.counted().open, 0u);
}

} // namespace
} // namespace troupe
