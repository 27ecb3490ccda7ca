#include "deploy/fault_run.hpp"

#include "runtime/clock.hpp"
#include "tests/model_files.hpp"

#include <fcntl.h>

#include <fstream>

namespace {

using namespace troupe;

/// A plan of faults for a cluster of three nodes, of which this process is the
/// first.
class FaultRun : public testing::Test {
protected:
  result<std::unique_ptr<fault_run>> open(const std::string& plan,
                                          bool has_children = true) {
    auto file = scratch_dir() / "plan.toml";
    std::ofstream{file} << "[[fault]]\n" << plan;
    return fault_run::open(file, 1, local(3, 2, 4), has_children, time_, log_);
  }

  static void join(fault_run& x, node_id peer) {
    x.wiring().links->listen({}).on_peer_joined(peer, {"somebody", 7, 0, {}});
  }

  system_clock time_;
  logger log_{"test", log_level::error};
};

} // namespace

TEST_F(FaultRun, CountsEventsFromWhenTheClusterServes) {
  auto name = local(3, 2, 4).nodes[0].name,
       other = local(3, 2, 4).nodes[1].name;
  auto x = open("cut_oneway = [\"" + name + "\", \"" + other
                + "\"]\non = { event = \"peer_joined\" }\nfor = \"3600s\"\n");
  ASSERT_TRUE(x) << x.why().message;
  join(**x, 1);
  join(**x, 2);
  (*x)->begin();
  (*x)->act();
  EXPECT_TRUE((*x)->active().empty()) << "these met as it started";
  join(**x, 1);
  (*x)->act();
  EXPECT_EQ((*x)->active().size(), 1u);
}

TEST_F(FaultRun, FailsIfTheClusterNeverServed) {
  auto kill = "kill = \"" + local(3, 2, 4).nodes[1].name + "\"\nat = \"1s\"\n";
  auto x = open(kill);
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_FALSE((*x)->end());
  auto may = open(kill + "must_happen = false\n");
  ASSERT_TRUE(may) << may.why().message;
  EXPECT_TRUE((*may)->end());
}

TEST_F(FaultRun, SaysThatRequestsAreBrokenInVirtualTimeAlone) {
  auto x = open("client_vanish = 3\nat = \"1s\"\n");
  ASSERT_FALSE(x);
  EXPECT_NE(x.why().message.find("only troupe simulate can do that"),
            std::string::npos)
    << x.why().message;
}

TEST_F(FaultRun, KeepsTheEndsThatChildrenInheritWhoAreStartedAgain) {
  auto x = open("kill = \"any\"\nat = \"1s\"\nmust_happen = false\n");
  ASSERT_TRUE(x) << x.why().message;
  auto ends = (*x)->wiring().inherited;
  ASSERT_EQ(ends.size(), 2u);
  for (auto fd : ends)
    EXPECT_NE(::fcntl(fd, F_GETFD), -1);
  (*x)->attach(nullptr);
  for (auto fd : ends)
    EXPECT_NE(::fcntl(fd, F_GETFD), -1);
}
