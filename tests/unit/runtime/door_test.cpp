#include "runtime/meeting/door.hpp"

#include "runtime/clock.hpp"
#include "tests/unit/runtime/closing_port.hpp"
#include "tests/unit/runtime/raw_client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <unistd.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using bytes = std::vector<std::byte>;

/// What one side has heard, for another thread to wait for.
class diary {
public:
  void write(std::string line) {
    std::lock_guard lock{mutex_};
    lines_.push_back(std::move(line));
    changed_.notify_all();
  }

  /// Whether a line that starts with `text` comes within a minute.
  bool await(const std::string& text, size_t times = 1) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [&] { return count(text) >= times; });
  }

  bool has(const std::string& text) {
    std::lock_guard lock{mutex_};
    return count(text) > 0;
  }

  std::string last() {
    std::lock_guard lock{mutex_};
    return lines_.empty() ? "" : lines_.back();
  }

private:
  size_t count(const std::string& text) const {
    return size_t(std::ranges::count_if(
      lines_, [&](auto& x) { return x.starts_with(text); }));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

/// A process at its door; says yes to everybody unless told otherwise.
struct process {
  explicit process(std::string name, uint64_t incarnation,
                   std::string secret = "secret")
    : who{"cluster", std::move(secret), {std::move(name), incarnation, 0, {}}} {
    who.data_address = {std::byte(incarnation), std::byte{7}};
  }

  result<void> open() {
    door_handler handler;
    handler.on_proven = [this](auto x) { answer_proven(x); };
    handler.on_met = [this](auto line, auto& identity) {
      heard.write("met " + identity.name);
      if (!closes_when_met)
        opened->proceed(line);
      else
        opened->close(line);
    };
    handler.on_welcomed = [this](auto x) { keep("welcomed ", x); };
    handler.on_failed = [this](line_id, auto& why) {
      heard.write("failed " + why.message);
    };
    handler.on_ended = [this](line_id, auto& why) {
      heard.write("ended " + why);
    };
    auto made = door::open(options, who, chance, log, std::move(handler));
    if (!made)
      return made.why();
    at = std::move(*made);
    opened = at.get();
    return {};
  }

  void answer_proven(const acquaintance& x) {
    if (is_mute)
      return heard.write("proven " + x.who.name);
    if (!refusal.empty())
      opened->refuse(x.line, refusal);
    else
      opened->welcome(x.line);
    if (gives_up_at_once)
      opened->refuse(x.line, "its show is over");
    keep("proven ", x);
  }

  void keep(const std::string& what, const acquaintance& x) {
    {
      std::lock_guard lock{mutex};
      known[x.who.name] = x;
    }
    heard.write(what + x.who.name);
  }

  acquaintance find(const std::string& name) {
    std::lock_guard lock{mutex};
    return known[name];
  }

  line_id dial(process& other, std::string expected = {}) {
    return at->dial({other.at->address(), std::move(expected), 30s});
  }

  door_options options;
  handshake_options who;
  std::string refusal;
  bool is_mute = false;
  bool gives_up_at_once = false; ///< Those whom it has welcomed.
  bool closes_when_met = false;
  system_entropy chance;
  logger log{"test", log_level::error};
  diary heard;
  std::mutex mutex; ///< For known.
  std::map<std::string, acquaintance> known;
  door* opened = nullptr;   ///< The one below, also while it goes.
  std::unique_ptr<door> at; ///< Last: its thread uses all of the above.
};

class Door : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_TRUE(a.open());
    ASSERT_TRUE(b.open());
  }

  /// Another process still meets `x`.
  void expect_open(process& x) {
    process late{"late", 99};
    ASSERT_TRUE(late.open());
    late.dial(x);
    EXPECT_TRUE(late.heard.await("welcomed")) << late.heard.last();
  }

  process a{"a", 1}, b{"b", 2};
};

} // namespace

TEST_F(Door, IntroducesTwoProcessesToEachOther) {
  b.dial(a, "a");
  ASSERT_TRUE(b.heard.await("welcomed a"));
  ASSERT_TRUE(a.heard.await("proven b"));
  auto at_a = a.find("b"), at_b = b.find("a");
  EXPECT_EQ(at_a.data_address, b.who.data_address);
  EXPECT_EQ(at_b.data_address, a.who.data_address);
  EXPECT_EQ(at_a.frame_tag, at_b.frame_tag);
  EXPECT_NE(at_a.frame_tag, 0u);
  EXPECT_EQ(at_a.who.listen.port, b.at->address().port);
  EXPECT_EQ(a.at->stats().proven, 1u);
}

TEST_F(Door, TheEndOfAProcessIsHeardAtTheOtherEnd) {
  b.dial(a);
  ASSERT_TRUE(b.heard.await("welcomed a"));
  b.at.reset();
  EXPECT_TRUE(a.heard.await("ended closed its connection"));
}

TEST_F(Door, OneSideClosesALineAndTheOtherHearsOfIt) {
  auto line = b.dial(a);
  ASSERT_TRUE(b.heard.await("welcomed a"));
  b.at->close(line);
  EXPECT_TRUE(a.heard.await("ended"));
  b.at.reset();
  EXPECT_FALSE(b.heard.has("ended"));
}

TEST_F(Door, WhoIsGivenUpHearsWhyBeforeItsLineEnds) {
  for (auto* by : {&a, &b}) {
    auto& other = by == &a ? b : a;
    auto line = b.dial(a);
    ASSERT_TRUE(a.heard.await("proven b", by == &a ? 1 : 2));
    ASSERT_TRUE(b.heard.await("welcomed a", by == &a ? 1 : 2));
    by->at->refuse(by == &a ? a.find("b").line : line, "its show is over");
    EXPECT_TRUE(other.heard.await("ended gave us up: its show is over"))
      << other.heard.last();
    EXPECT_TRUE(by->heard.await("ended")); // it has a second to listen
  }
}

TEST_F(Door, WhoIsGivenUpAndDoesNotListenIsDroppedAfterAWhile) {
  process c{"c", 3};
  handshake by_hand{handshake::role::initiator, c.who, {}};
  test::raw_client client{a.at->address().port};
  client.send_message(by_hand.greeting());
  client.send_message(by_hand.receive(client.read_message()).reply);
  ASSERT_TRUE(by_hand.receive(client.read_message()).done);
  ASSERT_TRUE(a.heard.await("proven c"));
  a.at->refuse(a.find("c").line, "its show is over");
  EXPECT_TRUE(a.heard.await("ended did not hear that it is given up"));
  EXPECT_EQ(handshake::read_refusal(client.read_message()), "its show is over");
  EXPECT_TRUE(client.await_end());
}

TEST_F(Door, ARefusalReachesTheOneWhoCame) {
  a.refusal = "node b is alive already";
  b.dial(a);
  EXPECT_TRUE(b.heard.await("failed the other side refused us: node b is "
                            "alive already"))
    << b.heard.last();
  EXPECT_FALSE(b.heard.has("welcomed"));
}

TEST_F(Door, RefusesAnotherSecretOnBothSides) {
  process c{"c", 3, "guess"};
  ASSERT_TRUE(c.open());
  c.dial(a);
  EXPECT_TRUE(c.heard.await("failed the secrets are not the same"));
  EXPECT_FALSE(a.heard.has("proven"));
  EXPECT_FALSE(c.heard.has("met"));
}

TEST_F(Door, WhoWasDialledByAnotherNameIsNotMet) {
  b.dial(a, "c");
  EXPECT_TRUE(b.heard.await("failed node a is there instead of c"));
  EXPECT_FALSE(b.heard.has("met"));
}

TEST_F(Door, WhoDialsMayCloseBeforeItProvesItself) {
  b.closes_when_met = true;
  b.dial(a);
  EXPECT_TRUE(b.heard.await("met a"));
  b.at.reset();
  EXPECT_FALSE(b.heard.has("failed"));
  EXPECT_FALSE(a.heard.has("proven"));
}

TEST_F(Door, TellsThatNobodyListens) {
  auto address = a.at->address();
  a.at.reset();
  b.at->dial({address, {}, 30s});
  EXPECT_TRUE(b.heard.await("failed Connection refused")) << b.heard.last();
  b.at->dial({{"no number", 1}, {}, 30s});
  EXPECT_TRUE(b.heard.await("failed 'no number' is not a numeric address"));
}

TEST_F(Door, WhoIsPatientWaitsForWhoIsNotThereYet) {
  auto address = a.at->address();
  a.at.reset();
  b.at->dial({address, "a", 30s, true});
  b.at->dial({address, "a", 300ms, true});
  EXPECT_TRUE(b.heard.await("failed there was no answer in time"));
  process again{"a", 5};
  again.options.listen = address;
  ASSERT_TRUE(again.open());
  EXPECT_TRUE(b.heard.await("welcomed a")) << b.heard.last();
}

TEST_F(Door, WhoIsPatientTriesAgainWhereSomebodyClosesWithoutAWord) {
  auto address = close_without_a_word(3, [this](const auto& at) {
    b.at->dial({at, "a", 30s, true});
  });
  process again{"a", 5};
  again.options.listen = address;
  ASSERT_TRUE(again.open());
  EXPECT_TRUE(b.heard.await("welcomed a")) << b.heard.last();
}

TEST_F(Door, WhoIsNotPatientTriesOnce) {
  close_without_a_word(1, [this](auto at) { b.at->dial({at, "a", 30s}); });
  EXPECT_TRUE(b.heard.await("failed it closed its connection"))
    << b.heard.last();
}

TEST_F(Door, APortThatWasJustClosedCanBeOpenedAgainAtOnce) {
  b.dial(a);
  ASSERT_TRUE(b.heard.await("welcomed a"));
  auto address = a.at->address();
  a.at.reset(); // It closes first: its end of the line waits in the kernel.
  ASSERT_TRUE(b.heard.await("ended"));
  process again{"a", 5};
  again.options.listen = address;
  auto ok = again.open();
  EXPECT_TRUE(ok) << ok.why().message;
}

TEST_F(Door, TellsThatAPortIsTaken) {
  process c{"c", 3};
  c.options.listen = a.at->address();
  auto ok = c.open();
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().code, errc::io);
}

TEST_F(Door, WithoutAnAnswerFromItsOwnerTheDeadlineEndsALine) {
  process mute{"mute", 3};
  mute.is_mute = true;
  mute.options.deadline = 2s; // before it is asked, too
  ASSERT_TRUE(mute.open());
  b.dial(mute);
  EXPECT_TRUE(mute.heard.await("proven b"));
  EXPECT_TRUE(b.heard.await("failed it closed its connection"));
}

// -- strangers ----------------------------------------------------------------

TEST_F(Door, BytesOfStrangersCostTheirConnectionAndNoMore) {
  std::mt19937 chance{20261128};
  const std::string zeros(17, '\0'), ones(17, '\xff');
  std::vector<std::string> all{zeros, ones, std::string(4, '\0'),
                               std::string(1 << 20, 'x'),
                               "GET / HTTP/1.1\r\n\r\n"};
  for (int i = 0; i < 200; ++i) {
    std::string noise(1 + chance() % 5000, ' ');
    for (auto& c : noise)
      c = char(chance());
    if (i % 2) { // A plausible length, then noise.
      noise[0] = char(chance());
      noise[1] = char(chance() % 16);
      noise[2] = noise[3] = 0;
    }
    all.push_back(noise);
  }
  for (auto& x : all) {
    test::raw_client client{a.at->address().port};
    client.send(x);
    client.finish_sending();
    EXPECT_TRUE(client.await_end());
  }
  // A client may see the end a moment before it is counted.
  system_clock time;
  auto deadline = time.now() + 60s;
  while (a.at->stats().dropped < all.size() && time.now() < deadline)
    std::this_thread::yield();
  EXPECT_EQ(a.at->stats().dropped, all.size());
  EXPECT_EQ(a.at->stats().came, all.size());
  expect_open(a);
}

TEST_F(Door, AStrangerWhoSaysNothingIsDroppedByTheDeadline) {
  process c{"c", 3};
  c.options.deadline = 2s; // for those who speak, too
  ASSERT_TRUE(c.open());
  test::raw_client silent{c.at->address().port};
  test::raw_client slow{c.at->address().port};
  slow.send(std::string("\x08", 1));
  EXPECT_TRUE(silent.await_end());
  EXPECT_TRUE(slow.await_end());
  expect_open(c);
}

TEST_F(Door, AFloodOfSilentStrangersDoesNotKeepMembersOut) {
  std::vector<test::raw_client> flood;
  for (int i = 0; i < 300; ++i)
    flood.emplace_back(a.at->address().port);
  EXPECT_TRUE(flood.front().await_end()); // Long before the deadline.
  expect_open(a);
}

TEST_F(Door, BytesOnALineThatIsUpEndIt) {
  // A member without manners: its handshake by hand, then a byte.
  process c{"c", 3};
  handshake by_hand{handshake::role::initiator, c.who, {}};
  test::raw_client client{a.at->address().port};
  client.send_message(by_hand.greeting());
  client.send_message(by_hand.receive(client.read_message()).reply);
  auto last = by_hand.receive(client.read_message());
  ASSERT_TRUE(last.done) << (last.failed ? last.failed->message : "");
  client.send("x");
  EXPECT_TRUE(a.heard.await("ended sent bytes where none belong"));
  EXPECT_TRUE(client.await_end());
}

TEST_F(Door, ReplayedHellosProveNothing) {
  process c{"c", 3};
  std::vector<bytes> said;
  {
    handshake x{handshake::role::initiator, c.who, {}};
    test::raw_client client{a.at->address().port};
    said.push_back(x.greeting());
    client.send_message(said.back());
    said.push_back(x.receive(client.read_message()).reply);
    client.send_message(said.back());
    ASSERT_TRUE(a.heard.await("proven c"));
  }
  test::raw_client replay{a.at->address().port};
  for (auto& message : said)
    replay.send_message(message);
  EXPECT_TRUE(replay.await_end());
  EXPECT_EQ(a.at->stats().proven, 1u);
}

// -- TLS ----------------------------------------------------------------------

namespace {

/// Certificates of two clusters, made by openssl(1).
class DoorTls : public Door {
protected:
  static void SetUpTestSuite() {
    dir = std::filesystem::temp_directory_path()
          / ("troupe-door-" + std::to_string(::getpid()));
    std::filesystem::create_directories(dir);
    make_cluster("ours");
    make_cluster("theirs");
  }

  static void TearDownTestSuite() {
    std::filesystem::remove_all(dir);
  }

  static void run(const std::string& command) {
    auto quiet = command + " >/dev/null 2>&1";
    ASSERT_EQ(std::system(quiet.c_str()), 0) << command;
  }

  static void make_cluster(const std::string& name) {
    auto at = (dir / name).string();
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-days 2 -subj /CN="
        + name + "-ca -keyout " + at + "-ca.key -out " + at + "-ca.pem");
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "
        "/CN="
        + name + " -keyout " + at + ".key -out " + at + ".csr");
    run("openssl x509 -req -days 2 -in " + at + ".csr -CA " + at
        + "-ca.pem -CAkey " + at + "-ca.key -CAcreateserial -out " + at
        + ".pem");
  }

  static tls_files files_of(const std::string& name) {
    auto at = (dir / name).string();
    return {at + ".pem", at + ".key", at + "-ca.pem"};
  }

  void open(process& x, const std::string& cluster) {
    x.options.tls = files_of(cluster);
    auto ok = x.open();
    ASSERT_TRUE(ok) << ok.why().message;
  }

  inline static std::filesystem::path dir;
  process c{"c", 3}, d{"d", 4};
};

} // namespace

TEST_F(DoorTls, MembersMeetAndHearOfEachOthersEnd) {
  open(c, "ours");
  open(d, "ours");
  d.dial(c);
  ASSERT_TRUE(d.heard.await("welcomed c")) << d.heard.last();
  ASSERT_TRUE(c.heard.await("proven d"));
  c.at->refuse(c.find("d").line, "its show is over");
  EXPECT_TRUE(d.heard.await("ended gave us up: its show is over"));
  EXPECT_TRUE(c.heard.await("ended"));
}

TEST_F(DoorTls, WhoIsGivenUpAsSoonAsItIsWelcomeHearsBoth) {
  open(c, "ours");
  c.gives_up_at_once = true;
  for (uint64_t i = 0; i < 30; ++i) {
    process x{"x", 10 + i};
    open(x, "ours");
    x.dial(c);
    ASSERT_TRUE(x.heard.await("welcomed c")) << x.heard.last();
    ASSERT_TRUE(x.heard.await("ended gave us up: its show is over"))
      << x.heard.last();
  }
}

TEST_F(DoorTls, RefusesCertificatesOfOthersAndClearText) {
  open(c, "ours");
  open(d, "theirs");
  d.dial(c);
  EXPECT_TRUE(d.heard.await("failed")) << d.heard.last();
  b.dial(c); // Without TLS.
  EXPECT_TRUE(b.heard.await("failed")) << b.heard.last();
  c.dial(b);
  EXPECT_TRUE(c.heard.await("failed")) << c.heard.last();
  EXPECT_FALSE(c.heard.has("proven"));
}

TEST_F(DoorTls, NamesTheFileThatCannotBeUsed) {
  c.options.tls = files_of("ours");
  c.options.tls.key = "/nowhere.key";
  auto ok = c.open();
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().code, errc::invalid_input);
  EXPECT_NE(ok.why().message.find("/nowhere.key"), std::string::npos);
}
