#include "deploy/expert_balance_flags.hpp"

#include "runtime/cluster/balance_settings.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// What the flags say together.
expert_balance_flags parsed(std::vector<std::string> last_first) {
  CLI::App app;
  expert_balance_flags out;
  out.add_to(app);
  app.parse(std::move(last_first));
  return out;
}

std::string why(const expert_balance_flags& x) {
  auto settings = x.settings();
  return settings ? "" : settings.why().message;
}

} // namespace

TEST(ExpertBalanceFlags, SayNothingByDefault) {
  auto x = parsed({});
  auto settings = x.settings();
  ASSERT_TRUE(settings);
  EXPECT_FALSE(*settings);
  EXPECT_EQ(x.replayed(), "");
}

TEST(ExpertBalanceFlags, SayHowOftenAndWithinWhichTimeACopyPays) {
  auto x = parsed({"5min", "--balance-payback", "1.5s", "--balance-experts"});
  auto settings = x.settings();
  ASSERT_TRUE(settings);
  ASSERT_TRUE(*settings);
  EXPECT_EQ((*settings)->interval, 1500ms);
  EXPECT_EQ((*settings)->payback, 5min);
  EXPECT_FALSE((*settings)->first_loads);
  EXPECT_EQ(x.replayed(), " --balance-experts 1.5s --balance-payback 5min");
}

TEST(ExpertBalanceFlags, ReadLoads) {
  auto path = std::filesystem::temp_directory_path()
              / ("loads-" + std::to_string(getpid()) + ".csv");
  write_text(path, "source,layer,e0,e1\nx,3,4,1\n");
  expert_balance_flags x{"10s", "60s", path.string()};
  auto settings = x.settings();
  std::filesystem::remove(path);
  ASSERT_TRUE(settings) << settings.why().message;
  EXPECT_EQ((*settings)->first_loads, (balance::load_table{2, {3}, {{4, 1}}}));
}

TEST(ExpertBalanceFlags, SayInOneSentenceWhatIsWrong) {
  EXPECT_EQ(why({"often", "60s", ""}).rfind("--balance-experts must be", 0),
            0u);
  EXPECT_EQ(why({"10s", "soon", ""}).rfind("--balance-payback must be", 0), 0u);
  EXPECT_EQ(why({"1ms", "60s", ""}), "--balance-experts is 100ms at least");
  EXPECT_EQ(why({"off", "60s", "loads.csv"}),
            "--expert-load goes with --balance-experts");
  EXPECT_NE(why({"10s", "60s", "/no/such/file"}), "");
}
