/// Real processes whose experts move while requests run, and that load
/// elsewhere what a lost node had: with the tokens of the plain path.

#include "tests/cluster/moving_company.hpp"

namespace troupe {

namespace {

std::vector<generation_request> some_requests(uint32_t count) {
  std::vector<generation_request> out;
  for (uint32_t i = 0; i < count; ++i)
    out.push_back(request_for(random_prompt(i, 4 + 30 * i), 90, i));
  return out;
}

} // namespace

TEST(Placements, ChangeWhileRequestsRun) {
  moving_company all;
  ASSERT_EQ(all.start(moving_company::four_processes(2)), "");
  auto requests = some_requests(6);
  auto expected = ask_plain(nano_model(), precision::fp8, requests);
  random_stream chance{1};
  auto epoch = all.front().placed()->epoch();
  for (int round = 0; round < 2; ++round) {
    listener ears{requests.size()};
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_TRUE(all.front().submit(requests[i], ears.handler(i)));
    ears.wait_for_tokens(20);
    for (int i = 0; i < 5; ++i) {
      auto changed = all.move(chance);
      ASSERT_TRUE(changed) << changed.why().message;
      EXPECT_EQ(*changed, ++epoch);
    }
    expect_equal(ears.wait(), expected);
  }
  EXPECT_EQ(all.front().placed()->epoch(), epoch);
}

TEST(Placements, ThatMakeNoSenseAreRefusedAndNothingHappens) {
  moving_company all;
  ASSERT_EQ(all.start(moving_company::four_processes(1)), "");
  auto& front = all.front();
  auto none = front.placed()->lists();
  auto stale = front.change_placement(none, moving_company::patience);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.why().code, errc::invalid_input);
  ++none.epoch;
  none.replicas.clear();
  auto bare = front.change_placement(none, moving_company::patience);
  ASSERT_FALSE(bare);
  EXPECT_NE(bare.why().message.find("no worker would have expert"),
            std::string::npos);
  EXPECT_EQ(front.placed()->epoch(), placement::first_epoch);
  expect_equal(ask_all(front, reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

/// Four workers are lost with all that they had; the others have room for it.
TEST(Placements, LostExpertsAreLoadedElsewhere) {
  moving_company all;
  ASSERT_EQ(all.start(moving_company::four_processes(4)), "");
  auto requests = some_requests(6);
  auto expected = ask_plain(nano_model(), precision::fp8, requests);
  listener ears{requests.size()};
  for (size_t i = 0; i < requests.size(); ++i)
    ASSERT_TRUE(all.front().submit(requests[i], ears.handler(i)));
  ears.wait_for_tokens(40);
  all.node(3).kill(SIGKILL);
  expect_equal(ears.wait(), expected);
  // Requests may have come to their ends before.
  EXPECT_TRUE(comes_true([&] {
    auto now = all.front().placed();
    return now->epoch() > placement::first_epoch && now->num_waiting() == 0;
  }));
  expect_equal(ask_all(all.front(), reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
  EXPECT_EQ(all.front().stats().requests_failed, 0u);
}

/// What it had is elsewhere by then; experts can be given to it.
TEST(Placements, WhoComesBackTakesPartInTheNewestPlacement) {
  moving_company all;
  ASSERT_EQ(all.start(moving_company::four_processes(4)), "");
  auto& front = all.front();
  auto requests = some_requests(6);
  auto expected = ask_plain(nano_model(), precision::fp8, requests);
  random_stream chance{3};
  for (int round = 0; round < 2; ++round) {
    listener ears{requests.size()};
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_TRUE(front.submit(requests[i], ears.handler(i)));
    ears.wait_for_tokens(40);
    auto epoch = front.placed()->epoch();
    auto is_newer = [&] { return front.placed()->epoch() > epoch; };
    all.node(3).kill(SIGKILL);
    ASSERT_TRUE(comes_true(is_newer)) << "what it had is loaded elsewhere";
    epoch = front.placed()->epoch();
    all.begin_again(3);
    ASSERT_TRUE(comes_true(is_newer)) << "it is taken in";
    expect_equal(ears.wait(), expected);
    auto gets_some = [&] { return bool(all.move_to(3, chance)); };
    ASSERT_TRUE(comes_true(gets_some)) << "once nothing else is under way";
    expect_equal(ask_all(front, requests), expected);
  }
  EXPECT_EQ(front.stats().requests_failed, 0u);
}

} // namespace troupe
