/// The client of HTTP against our own server, and against those that do wrong.

#include "runtime/http/client.hpp"

#include "tests/unit/runtime/http_server_fixture.hpp"

namespace troupe::http {

namespace {

/// Keeps what it hears.
struct notes : call_listener {
  bool on_body(unsigned status, std::string_view bytes) override {
    seen_status = status;
    body += bytes;
    return !drops;
  }

  void on_end(call_end x, unsigned status, std::string why_not) override {
    EXPECT_FALSE(end.has_value()) << "an end comes once";
    end = x;
    if (x == call_end::whole && !body.empty()) {
      EXPECT_EQ(status, seen_status);
    }
    why = std::move(why_not);
    when_ended();
  }

  bool drops = false;
  std::function<void()> when_ended;
  std::string body, why;
  unsigned seen_status = 0;
  std::optional<call_end> end;
};

class HttpAsking : public http_server_fixture {
protected:
  /// `patience`: of each call.
  void aim(uint16_t port,
           std::chrono::milliseconds patience = std::chrono::minutes{1}) {
    client_options options;
    options.server = {false, "127.0.0.1", port, ""};
    options.patience = patience;
    auto x = client::open(options, time_);
    ASSERT_TRUE(x) << x.why().message;
    client_ = std::move(*x);
  }

  std::shared_ptr<notes> ask(outgoing_call what, bool drops = false) {
    auto x = std::make_shared<notes>();
    x->drops = drops;
    x->when_ended = [this] {
      if (--num_open_ == 0)
        client_->stop();
    };
    ++num_open_;
    client_->call(std::move(what), x);
    return x;
  }

  static outgoing_call echo(const std::string& body) {
    return {"POST", "/echo", "X-Of: mine\r\n", body};
  }

  system_clock time_;
  std::unique_ptr<client> client_;
  int num_open_ = 0;
};

TEST_F(HttpAsking, HearsWholeAnswersAndStreams) {
  start();
  aim(server_->port());
  std::string large(3 << 20, 'x');
  auto a = ask(echo("in")), b = ask(echo(large));
  auto c = ask({"GET", "/stream", "", ""});
  auto d = ask({"GET", "/closed", "", ""});
  client_->run();
  EXPECT_EQ(a->body, "in");
  EXPECT_TRUE(b->body == large);
  EXPECT_TRUE(c->body.starts_with("0,1,2,") && c->body.ends_with(",98,99,"));
  EXPECT_EQ(d->body, "not for you");
  EXPECT_EQ(d->seen_status, 401u);
  for (auto& x : {a, b, c, d})
    EXPECT_EQ(x->end, call_end::whole) << x->why;
}

TEST_F(HttpAsking, UsesAConnectionAgain) {
  start();
  aim(server_->port());
  constexpr int most = 20;
  int asked = 0;
  std::function<void()> next = [&] {
    if (asked++ == most)
      return client_->stop();
    auto x = std::make_shared<notes>();
    x->when_ended = next;
    client_->call(echo("in"), x);
  };
  next();
  client_->run();
  EXPECT_EQ(handler_.handled, most);
  EXPECT_EQ(counts_->accepted, 1u);
}

TEST_F(HttpAsking, AsksAnewWhereAConnectionThatWasKeptHasEnded) {
  server_limits limits;
  limits.idle = std::chrono::milliseconds{1};
  start(limits);
  aim(server_->port());
  auto first = std::make_shared<notes>(), second = std::make_shared<notes>();
  // Once the server has closed it.
  std::function<void()> look = [&] {
    if (counts_->open > 0)
      return client_->at(time_.now() + std::chrono::milliseconds{1}, look);
    client_->call(echo("again"), second);
  };
  first->when_ended = [&] { look(); };
  second->when_ended = [&] { client_->stop(); };
  client_->call(echo("in"), first);
  client_->run();
  EXPECT_EQ(second->body, "again");
  EXPECT_EQ(counts_->accepted, 2u);
}

TEST_F(HttpAsking, EndsWhatTakesTooLong) {
  start();
  aim(server_->port(), std::chrono::seconds{1});
  auto x = ask({"GET", "/wait", "", ""});
  client_->run();
  EXPECT_EQ(x->end, call_end::timeout);
  // And the server hears of it.
  EXPECT_EQ(handler_.closed.get_future().wait_for(std::chrono::seconds{60}),
            std::future_status::ready);
}

TEST_F(HttpAsking, EndsWhatIsNotWantedAnyMore) {
  start();
  aim(server_->port());
  auto x = ask({"GET", "/stream", "", ""}, true);
  client_->run();
  EXPECT_EQ(x->end, call_end::dropped);
}

TEST_F(HttpAsking, SaysThatNobodyIsThere) {
  start();
  auto port = server_->port();
  server_.reset();
  aim(port);
  auto x = ask(echo("in"));
  client_->run();
  EXPECT_EQ(x->end, call_end::unreachable);
  EXPECT_FALSE(x->why.empty());
}

TEST_F(HttpAsking, SaysThatAnAnswerWasCut) {
  start();
  aim(server_->port());
  auto x = ask({"GET", "/still", "", ""});
  client_->at(time_.now(), [] {});
  std::thread end{[this] {
    while (handler_.handled == 0)
      std::this_thread::yield();
    server_.reset();
  }};
  client_->run();
  end.join();
  EXPECT_EQ(x->end, call_end::cut) << x->why;
}

TEST_F(HttpAsking, HasThousandCallsOpenAtOnce) {
  start();
  aim(server_->port());
  std::vector<std::shared_ptr<notes>> all;
  for (int i = 0; i < 1000; ++i)
    all.push_back(ask(echo(std::to_string(i))));
  client_->run();
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(all[i]->body, std::to_string(i)) << all[i]->why;
}

} // namespace

} // namespace troupe::http
