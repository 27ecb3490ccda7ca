#pragma once

/// A server in front of a handler that does what a path says.

#include "runtime/http/server.hpp"

#include "tests/unit/runtime/http_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace troupe::http {

/// Answers by path: /echo gives the body back, /key what it was authorized by,
/// /stream counts, /wait does not answer, /drop lets the responder go, /flood
/// writes until it may not; /still begins a stream with a filler and says
/// nothing; /closed is refused by its head.
class test_handler : public handler {
public:
  ~test_handler() override {
    if (writer_.joinable())
      writer_.join();
  }

  std::optional<reply> refuse_head(const request_head& head) override {
    if (head.path == "/closed")
      return reply{401, "text/plain", "not for you", {}};
    return std::nullopt;
  }

  void handle(request what, std::shared_ptr<responder> to) override {
    ++handled;
    if (what.path == "/echo")
      return to->answer({200, "text/plain", what.body, {{"X-Was", "echo"}}});
    if (what.path == "/key")
      return to->answer({200, "text/plain", what.authorization, {}});
    if (what.path == "/stream")
      return stream(*to);
    if (what.path == "/wait")
      return wait(std::move(to));
    if (what.path == "/still")
      return be_still(std::move(to));
    if (what.path == "/flood")
      return flood(std::move(to));
  }

  header_list headers_for(const request_head& head) override {
    return {{"X-Path", head.path}};
  }

  reply refusal(unsigned status, std::string_view why) override {
    return {status, "text/plain", std::string{why}, {}};
  }

  std::atomic<int> handled = 0;
  std::promise<void> closed;
  std::promise<size_t> flooded;

private:
  void stream(responder& to) {
    to.begin({200, "text/event-stream", "0,", {}});
    for (int i = 1; i < 100; ++i)
      EXPECT_TRUE(to.write(std::to_string(i) + ","));
    to.end();
  }

  void wait(std::shared_ptr<responder> to) {
    kept_ = to;
    to->on_closed([this] { closed.set_value(); });
  }

  void be_still(std::shared_ptr<responder> to) {
    kept_ = to;
    to->begin({200, "text/event-stream", "", {}, ": still\n\n"});
  }

  void flood(std::shared_ptr<responder> to) {
    writer_ = std::thread{[this, to = std::move(to)] {
      to->begin({200, "text/plain", "", {}});
      std::string piece(4096, 'x');
      size_t sum = 0;
      while (to->write(piece))
        sum += piece.size();
      flooded.set_value(sum);
    }};
  }

  std::shared_ptr<responder> kept_;
  std::thread writer_;
};

class http_server_fixture : public testing::Test {
protected:
  void start(server_limits limits = {}) {
    server_options options;
    options.limits = limits;
    start(std::move(options));
  }

  void start(server_options options) {
    options.counts = counts_;
    logger log{"test", log_level::info, [this](auto, auto&, auto line) {
                 std::lock_guard guard{mutex_};
                 lines_.emplace_back(line);
                 changed_.notify_all();
               }};
    auto x = server::start(options, handler_, log);
    ASSERT_TRUE(x) << x.why().message;
    server_ = std::move(*x);
  }

  /// Sends `text` on a connection of its own and returns the answer's status.
  int status_of(const std::string& text) {
    test::http_client client{server_->port()};
    client.send(text);
    return client.receive().status;
  }

  /// What was logged, once there are so many lines.
  std::vector<std::string> logged(size_t count) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return lines_.size() >= count; });
    return lines_;
  }

  test_handler handler_;
  std::shared_ptr<server_counts> counts_ = std::make_shared<server_counts>();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_; ///< What was logged.
  std::unique_ptr<server> server_;
};

inline const std::string get_echo = "GET /echo HTTP/1.1\r\nHost: x\r\n";

inline std::string post(const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: "
         + std::to_string(body.size()) + "\r\n\r\n" + body;
}

} // namespace troupe::http
