#include "deploy/request_balance_flags.hpp"

#include "runtime/cluster/request_settings.hpp"
#include "runtime/topology.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

TEST(RequestBalanceFlags, SayNothingByDefault) {
  request_balance_flags x;
  auto settings = x.settings();
  ASSERT_TRUE(settings);
  EXPECT_FALSE(*settings);
  auto cluster = single_process(2, 2);
  ASSERT_TRUE(x.apply(cluster));
  EXPECT_FALSE(cluster.limits.moving_requests);
  EXPECT_EQ(x.replayed(), "");
}

TEST(RequestBalanceFlags, SayHowOftenAndLetBlocksMove) {
  request_balance_flags x{"1.5s"};
  auto settings = x.settings();
  ASSERT_TRUE(settings);
  ASSERT_TRUE(*settings);
  EXPECT_EQ((*settings)->interval, 1500ms);
  auto cluster = single_process(2, 2);
  ASSERT_TRUE(x.apply(cluster));
  EXPECT_TRUE(cluster.limits.moving_requests);
  EXPECT_EQ(x.replayed(), " --balance-requests 1.5s");
}

TEST(RequestBalanceFlags, SayInOneSentenceWhatIsWrong) {
  auto often = request_balance_flags{"often"}.settings();
  ASSERT_FALSE(often);
  EXPECT_EQ(often.why().message.rfind("--balance-requests must be", 0), 0u);
  EXPECT_EQ(request_balance_flags{"1ms"}.settings().why().message,
            "--balance-requests is 100ms at least");
  auto cluster = single_process(2, 2);
  cluster.limits.prefix_caching = false;
  EXPECT_EQ(request_balance_flags{"1s"}.apply(cluster).why().message,
            "--balance-requests goes with --prefix-caching on");
}
