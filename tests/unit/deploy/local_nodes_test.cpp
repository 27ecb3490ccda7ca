#include "deploy/local_nodes.hpp"
#include "tests/model_files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Children that run none of these tests and end with status 0.
class LocalNodes : public testing::Test {
protected:
  LocalNodes() {
    auto begun = local_nodes::start({{"--gtest_filter=none", "--name", "b"}});
    nodes_ = std::move(*begun);
  }

  static void wait_for_an_end() {
    siginfo_t what{};
    ASSERT_EQ(waitid(P_ALL, 0, &what, WEXITED | WNOWAIT), 0);
  }

  /// The last sentence.
  std::string tend(bool was_told, clock::instant now = clock::instant{1h}) {
    auto all = nodes_->tend(
      {}, now, [&](auto& name) { return name == "b" && was_told; });
    return all.empty() ? "" : all.back();
  }

  std::unique_ptr<local_nodes> nodes_;
};

constexpr auto told = "node b was told to end, and is not started again";

} // namespace

TEST_F(LocalNodes, BeginAnewUnlessTheyWereToldToEndWhateverTheirStatus) {
  wait_for_an_end();
  EXPECT_EQ(tend(false), "node b is started again in 500 ms");
  EXPECT_EQ(tend(false, clock::instant{1h + 499ms}), "");
  EXPECT_FALSE(nodes_->state_of(0));
  EXPECT_EQ(tend(false, clock::instant{1h + 500ms}), "");
  EXPECT_EQ(nodes_->num_ended(), 1u);
  wait_for_an_end();
  EXPECT_EQ(tend(false, clock::instant{2h}),
            "node b is started again in 500 ms");
}

TEST_F(LocalNodes, AreNotBegunAnewIfTheyWereTold) {
  wait_for_an_end();
  EXPECT_EQ(tend(true), told);
  EXPECT_EQ(tend(false, clock::instant{3h}), "") << "for good";
}

/// The cluster may hear of it after whoever looks after its process.
TEST_F(LocalNodes, ThatTheyWereToldMayBeKnownLate) {
  wait_for_an_end();
  EXPECT_EQ(tend(false), "node b is started again in 500 ms");
  EXPECT_EQ(tend(true, clock::instant{1h + 500ms}), told);
  EXPECT_EQ(tend(false, clock::instant{3h}), "");
}

constexpr int nobodys = 200, given = 201; // descriptors

/// Its only child is a test that holds.
void expect_one_good_end(local_nodes& nodes) {
  siginfo_t what{};
  ASSERT_EQ(waitid(P_ALL, 0, &what, WEXITED | WNOWAIT), 0);
  auto ends = nodes.take_ends();
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_TRUE(ends.front().ends_with("has ended with status 0"))
    << ends.front();
}

/// What the process of a node sees. By itself it has neither.
TEST(LocalNodesChild, HasTheDescriptorThatItWasGivenAlone) {
  if (fcntl(given, F_GETFD) >= 0)
    EXPECT_EQ(fcntl(nobodys, F_GETFD), -1);
  else
    EXPECT_EQ(errno, EBADF);
}

TEST(LocalNodesChildren, HaveNoDescriptorThatTheyWereNotGiven) {
  ASSERT_EQ(dup2(STDERR_FILENO, nobodys), nobodys);
  ASSERT_EQ(dup2(STDERR_FILENO, given), given);
  auto nodes = local_nodes::start(
    {{"--gtest_filter=LocalNodesChild.*", "--name", "b"}}, {given});
  close(nobodys);
  close(given);
  ASSERT_TRUE(nodes);
  expect_one_good_end(**nodes);
}

/// Likewise. By itself it has not been given them either.
TEST(LocalNodesVariables, AreNoSettings) {
  auto all = read_text("/proc/self/environ");
  EXPECT_EQ(all.find("TROUPE_ADMIN_SOCKET="), all.npos);
  EXPECT_NE(all.find("PATH="), all.npos);
}

TEST(LocalNodesChildren, HaveNotTheSettingsOfTheirParent) {
  ::setenv("TROUPE_ADMIN_SOCKET", "/nowhere", 1);
  auto nodes = local_nodes::start(
    {{"--gtest_filter=LocalNodesVariables.*", "--name", "b"}});
  ::unsetenv("TROUPE_ADMIN_SOCKET");
  ASSERT_TRUE(nodes);
  expect_one_good_end(**nodes);
}
