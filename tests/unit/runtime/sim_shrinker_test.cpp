#include "runtime/sim/shrinker.hpp"

#include "runtime/sim/fault_plan.hpp"
#include "runtime/sim/random_faults.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

/// Sixteen requests and as many faults of all kinds, one for each client.
sim_case large_case() {
  sim_case out;
  out.load = make_load({.streams = 4,
                        .least_prompt = 20,
                        .most_prompt = 100,
                        .least_output = 30,
                        .most_output = 60,
                        .rate = 100,
                        .requests = 16},
                       1, 500);
  for (auto& form : fault_forms()) {
    fault x;
    x.kind = form.kind;
    x.node = "a";
    x.lasts = 10s;
    x.nth_event = 1000;
    out.faults.push_back(x);
  }
  for (uint32_t i = 0; i < 16; ++i) {
    fault x;
    x.kind = fault_kind::client_vanish;
    x.request = i;
    out.faults.push_back(x);
  }
  return out;
}

bool has(const sim_case& x, fault_kind kind) {
  return std::any_of(x.faults.begin(), x.faults.end(),
                     [kind](auto& f) { return f.kind == kind; });
}

uint64_t id_of(const client_request& x) {
  return x.request.sampling.seed;
}

} // namespace

TEST(Shrinker, LeavesWhatTheFailureNeeds) {
  auto all = large_case();
  auto needed = id_of(all.load.requests[9]);
  shrinker to{[&](const sim_case& x) {
                for (auto& r : x.load.requests)
                  if (id_of(r) == needed && r.request.max_tokens >= 5)
                    return has(x, fault_kind::kill) && has(x, fault_kind::cut);
                return false;
              },
              1000};
  auto small = to.shrink(all);
  ASSERT_EQ(small.faults.size(), 2u);
  EXPECT_TRUE(has(small, fault_kind::kill));
  EXPECT_TRUE(has(small, fault_kind::cut));
  for (auto& x : small.faults) {
    EXPECT_LE(x.lasts, 1us);
    EXPECT_EQ(x.nth_event, 1u);
  }
  ASSERT_EQ(small.load.requests.size(), 1u);
  auto& left = small.load.requests.front();
  EXPECT_EQ(id_of(left), needed);
  EXPECT_EQ(left.request.prompt.size(), 1u);
  EXPECT_GE(left.request.max_tokens, 5u);
  EXPECT_LT(left.request.max_tokens, 10u);
  EXPECT_EQ(left.request.sampling.temperature, 0);
  EXPECT_EQ(left.arrival, 0s);
  EXPECT_LT(to.num_runs(), 300u);
}

TEST(Shrinker, KeepsFaultsWithTheirClients) {
  auto all = large_case();
  auto victim = id_of(all.load.requests[11]);
  auto vanishes = [&](const sim_case& x) {
    return std::any_of(x.faults.begin(), x.faults.end(), [&](auto& f) {
      return f.kind == fault_kind::client_vanish && f.request
             && id_of(x.load.requests.at(*f.request)) == victim;
    });
  };
  ASSERT_TRUE(vanishes(all));
  shrinker to{vanishes, 1000};
  auto small = to.shrink(all);
  ASSERT_EQ(small.faults.size(), 1u);
  ASSERT_EQ(small.load.requests.size(), 1u);
  EXPECT_TRUE(vanishes(small));
}

TEST(Shrinker, ReturnsACaseThatFailsHoweverFewRunsItHas) {
  auto all = large_case();
  auto fails = [](const sim_case& x) {
    return has(x, fault_kind::pause) && x.load.requests.size() >= 3;
  };
  for (uint32_t most = 0; most < 60; ++most) {
    uint32_t asked = 0;
    shrinker to{[&](const sim_case& x) {
                  ++asked;
                  return fails(x);
                },
                most};
    EXPECT_TRUE(fails(to.shrink(all)));
    EXPECT_LE(asked, most);
    EXPECT_EQ(asked, to.num_runs());
  }
}

TEST(Shrinker, FindsTheSameAgain) {
  auto run = [] {
    shrinker to{[](const sim_case& x) {
                  return x.faults.size() % 3 == 2 && !x.load.requests.empty();
                },
                500};
    auto small = to.shrink(large_case());
    return render(small.faults) + std::to_string(small.load.requests.size())
           + "," + std::to_string(to.num_runs());
  };
  EXPECT_EQ(run(), run());
}

TEST(Shrinker, TakesNothingFromACaseThatNeedsItAll) {
  auto all = large_case();
  auto text = render(all.faults);
  shrinker to{[](const sim_case&) { return false; }, 10'000};
  auto small = to.shrink(all);
  EXPECT_EQ(render(small.faults), text);
  EXPECT_EQ(small.load.requests.size(), 16u);
  EXPECT_LT(to.num_runs(), 1000u);
}

TEST(Shrinker, EndsWhereAllStillFails) {
  shrinker to{[](const sim_case&) { return true; }, 10'000};
  auto small = to.shrink(large_case());
  EXPECT_TRUE(small.faults.empty());
  EXPECT_EQ(small.load.requests.size(), 1u); // somebody has to ask
  EXPECT_LT(to.num_runs(), 30u);
}

TEST(Shrinker, EndsWhereARequestCannotBeHalved) {
  sim_case x;
  auto& request = x.load.requests.emplace_back().request;
  request.prompt = {1, 2, 3, 4};
  request.segments = {{4, segment_author::given}};
  shrinker to{[](const sim_case& y) { return !y.load.requests.empty(); },
              10'000};
  EXPECT_EQ(to.shrink(x).load.requests.front().request.prompt.size(), 4u);
  EXPECT_LT(to.num_runs(), 20u);
}

TEST(Shrinker, LeavesARequestThatMakesNoSenseAsItIs) {
  auto all = large_case();
  for (size_t i = 0; i < all.load.requests.size(); ++i) {
    auto& x = all.load.requests[i];
    x.expected.emplace();
    x.expected->is_refusal = i == 5;
    x.arrival = 1ms;
  }
  auto bad = all.load.requests[5];
  shrinker to{[](const sim_case& x) {
                return std::ranges::any_of(x.load.requests, [](auto& r) {
                  return r.expected && r.expected->is_refusal;
                });
              },
              1000};
  auto small = to.shrink(all);
  ASSERT_EQ(small.load.requests.size(), 1u);
  auto& left = small.load.requests[0];
  EXPECT_EQ(left.request.prompt, bad.request.prompt);
  EXPECT_EQ(left.request.max_tokens, bad.request.max_tokens);
  EXPECT_EQ(left.request.sampling.temperature,
            bad.request.sampling.temperature);
  EXPECT_EQ(left.arrival, bad.arrival);
}
