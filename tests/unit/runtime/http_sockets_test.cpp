/// The sockets of a server: whose they are, and how long a client may take.

#include "runtime/clock.hpp"
#include "tests/unit/runtime/http_server_fixture.hpp"

#include <filesystem>
#include <set>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

namespace troupe::http {

namespace {

using namespace std::chrono_literals;

/// Those of this process.
std::set<int> all_sockets() {
  std::set<int> out;
  for (auto& x : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    auto fd = std::stoi(x.path().filename().string());
    struct stat about {};
    if (::fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode))
      out.insert(fd);
  }
  return out;
}

class HttpSockets : public http_server_fixture {
protected:
  /// The server's, and its client's.
  std::set<int> new_sockets() const {
    auto out = all_sockets();
    for (auto fd : before_)
      out.erase(fd);
    return out;
  }

private:
  std::set<int> before_ = all_sockets();
};

TEST_F(HttpSockets, AreNotLeftToOtherPrograms) {
  start();
  test::http_client client{server_->port()};
  client.send(post("/echo", "in"));
  EXPECT_EQ(client.receive().body, "in");
  auto sockets = new_sockets();
  EXPECT_EQ(sockets.size(), 3u);
  for (auto fd : sockets)
    EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC) << fd;
}

TEST_F(HttpSockets, EndForTheClientThoughAnotherProcessHoldsThem) {
  server_limits limits;
  limits.idle = 20ms;
  start(limits);
  test::http_client client{server_->port()};
  client.send("GET /");
  while (counts_->open == 0)
    std::this_thread::yield();
  std::vector<int> held;
  for (auto fd : new_sockets())
    held.push_back(::dup(fd));
  client.send("echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.at_end());
  for (auto fd : held)
    ::close(fd);
}

TEST_F(HttpSockets, WaitAsLongAsTheClientTakesSome) {
  server_limits limits;
  limits.stall = 2s;
  limits.send_buffer = 16 << 10;
  start(limits);
  test::http_client client{server_->port()};
  client.keep_little();
  std::string body(6'000'000, 'x');
  client.send(post("/echo", body));
  system_clock time;
  std::promise<void> nobody;
  auto end = time.now() + limits.stall * 2;
  for (auto last = time.now(); last < end;) {
    auto could = client.read_on();
    if (time.now() - std::exchange(last, time.now()) > limits.stall / 2)
      return; // this process has stood still itself: that is no slow client
    ASSERT_TRUE(could);
    nobody.get_future().wait_for(60ms);
    nobody = {};
  }
  EXPECT_EQ(client.receive().body, body);
}

} // namespace

} // namespace troupe::http
