// Real processes, real UCX over 127.0.0.1, real signals. Each process is a
// transport_peer; this one only pulls the strings.

#include "runtime/clock.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

using std::string;

struct peer_options {
  string cluster = "test";
  string secret = "correct horse battery staple";
  string incarnation = "0";
  string fingerprint = "0";
  string checksum_bodies = "0";
  string max_unsent = "268435456";
  string stall_verdict = "30000"; ///< Milliseconds.
  string name = {};               ///< Empty: node-ID.
};

class peer {
public:
  explicit peer(int id, const peer_options& x = {}) {
    auto name = x.name.empty() ? "node-" + std::to_string(id) : x.name;
    start({troupe::binary_dir() / "tests/transport_peer", name,
           std::to_string(id), x.cluster, x.secret, x.incarnation,
           x.fingerprint, x.checksum_bodies, x.max_unsent, x.stall_verdict});
    std::istringstream line{expect("listening")};
    string word;
    line >> word >> port >> incarnation;
  }

  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;

  ~peer() {
    close(in_);
    close(out_);
    signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  void tell(const string& line) {
    auto text = line + "\n";
    ASSERT_EQ(write(in_, text.data(), text.size()), ssize_t(text.size()));
  }

  void signal(int number) {
    kill(pid_, number);
  }

  /// The next line that begins so; those before it are dropped. Empty, and a
  /// failure of the test, if none comes within a generous time.
  string expect(const string& prefix) {
    string seen;
    while (auto line = next_line()) {
      if (line->starts_with(prefix))
        return *line;
      seen += *line + "\n";
    }
    ADD_FAILURE() << "no \"" << prefix << "\" but:\n" << seen;
    return {};
  }

  int count(const string& what) {
    tell("stats");
    std::istringstream line{expect("stats")};
    string word;
    int n = -1;
    while (line >> word && word != what) {
    }
    line >> n;
    return n;
  }

  /// What is counted a moment after others hear of it; false: not in a minute.
  bool comes_to_count(const string& what, int n) {
    troupe::system_clock time;
    auto end = time.now() + std::chrono::seconds{60};
    while (count(what) != n)
      if (time.now() > end)
        return false;
    return true;
  }

  void connect(int id, const peer& to) {
    tell("connect " + std::to_string(id) + " " + std::to_string(to.port));
  }

  int port = 0;
  string incarnation;

private:
  void start(std::vector<string> arguments) {
    int to_child[2], from_child[2];
    ASSERT_EQ(pipe2(to_child, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(from_child, O_CLOEXEC), 0);
    std::vector<char*> argv;
    for (auto& x : arguments)
      argv.push_back(x.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to_child[0], STDIN_FILENO);
      dup2(from_child[1], STDOUT_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(to_child[0]);
    close(from_child[1]);
    in_ = to_child[1];
    out_ = from_child[0];
  }

  std::optional<string> next_line() {
    auto end = troupe::system_clock{}.now() + std::chrono::seconds{30};
    for (;;) {
      if (auto i = buffer_.find('\n'); i != string::npos) {
        auto line = buffer_.substr(0, i);
        buffer_.erase(0, i + 1);
        return line;
      }
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - troupe::system_clock{}.now());
      pollfd x{out_, POLLIN, 0};
      if (left.count() <= 0 || poll(&x, 1, int(left.count())) <= 0)
        return std::nullopt;
      char chunk[4096];
      auto n = read(out_, chunk, sizeof chunk);
      if (n <= 0)
        return std::nullopt;
      buffer_.append(chunk, size_t(n));
    }
  }

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  string buffer_;
};

void join(peer& a, int a_id, peer& b, int b_id) {
  b.connect(a_id, a);
  a.expect("joined " + std::to_string(b_id));
  b.expect("joined " + std::to_string(a_id));
}

/// Sizes from nothing to well beyond UCX's rendezvous, mixed so that a short
/// frame could overtake a long one.
const std::vector<size_t> sizes = {0,       64,     7168,   458752, 0,  64,
                                   4194304, 7168,   458752, 1,      64, 524224,
                                   0,       524288, 64,     524287, 1};

void exchange(peer& from, int from_id, peer& to, int to_id) {
  auto line = "send " + std::to_string(to_id);
  for (auto size : sizes)
    line += " " + std::to_string(size);
  from.tell(line);
  for (size_t i = 0; i < sizes.size(); ++i)
    EXPECT_EQ(to.expect("frame " + std::to_string(from_id)),
              "frame " + std::to_string(from_id) + " " + std::to_string(i + 1)
                + " " + std::to_string(sizes[i]) + " good ");
}

} // namespace

TEST(Transport, CarriesFramesWholeAndInOrderBothWays) {
  for (auto checksum : {"0", "1"}) {
    // One side asking for checksums is enough.
    peer a{0}, b{1, {.checksum_bodies = checksum}};
    join(a, 0, b, 1);
    exchange(a, 0, b, 1);
    exchange(b, 1, a, 0);
    EXPECT_EQ(a.count("damaged"), 0);
    EXPECT_EQ(b.count("damaged"), 0);
  }
}

TEST(Transport, JoinsThreeProcessesPairByPair) {
  peer a{0}, b{1}, c{2};
  join(a, 0, b, 1);
  join(a, 0, c, 2);
  join(b, 1, c, 2);
  exchange(a, 0, c, 2);
  exchange(c, 2, b, 1);
  exchange(b, 1, a, 0);
}

TEST(Transport, KeepsOneConnectionIfBothSidesConnect) {
  for (auto incarnation : {"1", "18446744073709551615"}) {
    peer a{0}, b{1, {.incarnation = incarnation}};
    a.connect(1, b);
    b.connect(0, a);
    a.expect("joined 1");
    b.expect("joined 0");
    exchange(a, 0, b, 1);
    exchange(b, 1, a, 0);
  }
}

TEST(Transport, RefusesAnotherSecretOnBothSides) {
  peer a{0}, b{1, {.secret = "guess"}};
  b.connect(0, a);
  EXPECT_NE(b.expect("failed 0 refused").find("secrets are not the same"),
            string::npos);
  a.connect(1, b);
  EXPECT_NE(a.expect("failed 1 refused").find("secrets are not the same"),
            string::npos);
  peer c{2};
  join(a, 0, c, 2);
  exchange(a, 0, c, 2);
}

TEST(Transport, RefusesAnotherCluster) {
  peer a{0}, b{1, {.cluster = "other"}};
  b.connect(0, a);
  b.expect("failed 0 refused");
  EXPECT_TRUE(a.comes_to_count("strangers", 1));
}

TEST(Transport, RefusesOtherNumerics) {
  peer a{0, {.fingerprint = "7"}}, b{1, {.fingerprint = "8"}};
  b.connect(0, a);
  EXPECT_NE(b.expect("failed 0 refused").find("numerics"), string::npos);
}

TEST(Transport, RefusesWhoHasNoPlaceAndWhoIsNotTheExpectedOne) {
  peer a{0}, b{1, {.name = "stranger"}}, c{2};
  b.connect(0, a);
  EXPECT_NE(b.expect("failed 0 refused").find("no place for node stranger"),
            string::npos);
  c.tell("connect 7 " + std::to_string(a.port) + " node-7");
  EXPECT_NE(c.expect("failed 7 refused").find("instead of node-7"),
            string::npos);
}

TEST(Transport, TellsThatNobodyListens) {
  auto gone = std::make_unique<peer>(0);
  peer a{1};
  auto port = gone->port;
  gone.reset();
  a.tell("connect 0 " + std::to_string(port));
  a.expect("failed 0 peer_lost");
}

TEST(Transport, TellsOfAKilledPeerAtOnceWithoutWatchingIt) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGKILL);
  a.expect("lost 1 node node-1 ");
}

TEST(Transport, TellsOfAPeerThatIsKilledDuringASend) {
  peer a{0}, b{1}, c{2};
  join(a, 0, b, 1);
  join(a, 0, c, 2);
  b.signal(SIGSTOP); // So that the send cannot be over when the blow comes.
  a.tell("flood 1");
  a.expect("ok flood");
  b.signal(SIGKILL);
  a.expect("lost 1");
  exchange(a, 0, c, 2);
  exchange(c, 2, a, 0);
}

TEST(Transport, LetsARestartedProcessJoinInThePlaceOfTheOld) {
  peer a{0};
  {
    peer b{1};
    join(a, 0, b, 1);
  }
  a.expect("lost 1");
  peer b{1};
  join(a, 0, b, 1);
  exchange(a, 0, b, 1);
}

TEST(Transport, LosesASilentPeerAndRefusesItsReturn) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  a.tell("monitor 1");
  a.expect("ok monitor");
  b.signal(SIGSTOP);
  a.expect("lost 1 node node-1 was silent for 1.0 s");
  auto stale = a.count("stale");
  b.tell("send 0 64 7168 458752"); // Waits in b until it goes on.
  b.signal(SIGCONT);
  b.expect("lost 0 node node-0 gave us up: node-0 says that this node was "
           "silent for 1.0 s");
  b.connect(0, a);
  EXPECT_NE(b.expect("failed 0 refused").find("was given up"), string::npos);
  EXPECT_GT(a.count("stale"), stale); // What waited was not let in.
  a.tell("send 1 64");
  a.expect("ok send");
}

TEST(Transport, KeepsAWatchedPeerThatLives) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  a.tell("monitor 1"); // Only one side watches.
  a.tell("idle 2500");
  a.expect("idle");
  exchange(a, 0, b, 1);
  exchange(b, 1, a, 0);
}

TEST(Transport, KeepsWhatASlowPeerDoesNotTakeYet) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGSTOP);
  a.tell("flood 1"); // Eight windows.
  a.expect("ok flood");
  a.tell("idle 1500"); // A watched peer would be lost by now.
  a.expect("idle");
  b.signal(SIGCONT);
  for (int id = 1; id <= 16; ++id)
    EXPECT_EQ(b.expect("frame"),
              "frame 0 " + std::to_string(id) + " 4194304 good ");
  exchange(a, 0, b, 1);
  exchange(b, 1, a, 0);
}

TEST(Transport, LetsControlOvertakeRowsThatWait) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGSTOP);
  a.tell("flood 1");
  a.expect("ok flood");
  a.tell("say 1");
  a.expect("ok say");
  b.signal(SIGCONT);
  int rows_before = 0;
  while (b.expect("frame").find(" 99 64 good") == string::npos)
    ++rows_before;
  EXPECT_LE(rows_before, 3) << "a window holds two";
}

TEST(Transport, KeepsAWatchedPeerThatIsFlooded) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  a.tell("monitor 1");
  b.tell("monitor 0");
  for (int i = 0; i < 3; ++i) {
    a.tell("flood 1");
    b.tell("flood 0");
  }
  for (auto x : {&a, &b})
    for (int i = 0; i < 3 * 16; ++i)
      EXPECT_NE(x->expect("frame").find(" good"), string::npos);
}

TEST(Transport, LosesAPeerThatTakesNothingUntilTheDeadline) {
  peer a{0, {.stall_verdict = "700"}}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGSTOP);
  a.tell("flood 1");
  EXPECT_NE(
    a.expect("lost 1").find("took nothing of what was sent to it for 0.7 s"),
    string::npos);
}

TEST(Transport, TakesMoreOnceItsLimitIsRaised) {
  peer a{0, {.max_unsent = "33554432"}}, b{1};
  join(a, 0, b, 1);
  a.tell("limit 100000000");
  b.signal(SIGSTOP);
  a.tell("flood 1");
  a.expect("ok flood");
  b.signal(SIGCONT);
  for (int i = 0; i < 16; ++i)
    EXPECT_NE(b.expect("frame").find(" good"), string::npos);
}

TEST(Transport, LosesAPeerForWhichMoreWaitsThanTheLimit) {
  peer a{0, {.max_unsent = "33554432"}}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGSTOP);
  a.tell("flood 1"); // Twice the limit.
  EXPECT_NE(a.expect("lost 1").find("did not take what was sent to it"),
            string::npos);
}

TEST(Transport, WhoIsGivenUpHearsWhyAndDoesNotComeBack) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  a.tell("disconnect 1 " + b.incarnation);
  EXPECT_EQ(a.expect("lost 1"),
            "lost 1 node node-1 was given up: it was told so ");
  EXPECT_EQ(b.expect("lost 0"),
            "lost 0 node node-0 gave us up: it was told so ");
  b.connect(0, a);
  EXPECT_NE(b.expect("failed 0 refused").find("was given up"), string::npos);
}

TEST(Transport, WhoIsGivenUpWhileItStandsStillIsGoneSoonAllTheSame) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  b.signal(SIGSTOP);
  a.tell("flood 1");
  a.tell("disconnect 1 " + b.incarnation);
  a.expect("lost 1 node node-1 was given up");
  peer c{1};
  join(a, 0, c, 1);
  exchange(a, 0, c, 1);
}

TEST(Transport, ADisconnectOfAPredecessorDoesNotTouchItsSuccessor) {
  peer a{0};
  string first;
  {
    peer b{1};
    join(a, 0, b, 1);
    first = b.incarnation;
  }
  a.expect("lost 1");
  peer b{1};
  join(a, 0, b, 1);
  for (auto late : {first, string{"0"}})
    a.tell("disconnect 1 " + late);
  exchange(a, 0, b, 1);
  exchange(b, 1, a, 0);
}

TEST(Transport, DropsNoRowsForTheirView) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  a.tell("view 5");
  a.expect("ok view");
  b.tell("send 0 64 64");
  b.tell("view 5");
  b.tell("send 0 7168");
  EXPECT_EQ(a.expect("frame"), "frame 1 1 64 good ");
  EXPECT_EQ(a.expect("frame"), "frame 1 2 64 good ");
  EXPECT_EQ(a.expect("frame"), "frame 1 1 7168 good ");
  EXPECT_EQ(a.count("stale"), 0);
}

TEST(Transport, PrintsWhatARoundTripCosts) {
  peer a{0}, b{1};
  join(a, 0, b, 1);
  for (auto line :
       {"time 1 64 2000", "time 1 7168 2000", "time 1 458752 300"}) {
    a.tell(line);
    std::cout << a.expect("time") << "us\n";
  }
  a.tell("idle 300");
  std::cout << a.expect("idle") << "ms of processor time in 300 ms\n";
}
