/// A measurement in virtual time, against a server that is a few lines.

#include "runtime/bench/load_run.hpp"
#include "runtime/bench/load_summary.hpp"

#include "tests/unit/runtime/hand_clock.hpp"

#include <gtest/gtest.h>

#include <map>

namespace troupe::bench {

namespace {

using std::chrono::milliseconds;

const std::string a_piece = "data: {\"choices\":[{\"text\":\"x\"}]}\n\n";
const std::string the_end
  = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":"
    "7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

/// Does what is due, and lets time pass. A call's answer is a matter of the
/// test.
class virtual_client : public http::client {
public:
  using answerer = std::function<void(virtual_client&,
                                      std::shared_ptr<http::call_listener>)>;

  virtual_client(hand_clock& time, answerer answer)
    : time_(time), answer_(std::move(answer)) {
  }

  void call(http::outgoing_call what,
            std::shared_ptr<http::call_listener> to) override {
    asked.push_back(std::move(what));
    answer_(*this, std::move(to));
  }

  void at(clock::instant when, std::function<void()> fn) override {
    due_.emplace(std::max(when, time_.time), std::move(fn));
  }

  void after(milliseconds wait, std::function<void()> fn) {
    at(time_.time + wait, std::move(fn));
  }

  void run() override {
    while (!stopped_ && !due_.empty()) {
      auto next = due_.extract(due_.begin());
      time_.time = std::max(time_.time, next.key());
      next.mapped()();
    }
  }

  void stop() override {
    stopped_ = true;
  }

  std::vector<http::outgoing_call> asked;

private:
  hand_clock& time_;
  answerer answer_;
  std::multimap<clock::instant, std::function<void()>> due_;
  bool stopped_ = false;
};

/// Two tokens, the first after 100 ms and the second 20 ms later.
void answer_well(virtual_client& in, std::shared_ptr<http::call_listener> to) {
  in.after(milliseconds{100}, [to] { to->on_body(200, a_piece); });
  in.after(milliseconds{120}, [to] {
    to->on_body(200, a_piece + the_end);
    to->on_end(http::call_end::whole, 200, "");
  });
}

class LoadRun : public testing::Test {
protected:
  std::vector<call_record>
  measure(load_run_options options, std::vector<planned_request> plan,
          virtual_client::answerer answer = answer_well) {
    virtual_client client{time_, std::move(answer)};
    load_run run{
      client, time_, std::move(options), std::move(plan), {1, 0, {}}};
    run.run([this](auto& x) {
      last_ = x;
      return goes_on_(x);
    });
    asked_ = client.asked;
    ticks_ = run.late_loop().size();
    return run.records();
  }

  /// One every 50 ms.
  static std::vector<planned_request> regular(size_t count) {
    std::vector<planned_request> out;
    for (size_t i = 0; i < count; ++i)
      out.push_back({milliseconds{50} * i, 5, 2});
    return out;
  }

  hand_clock time_;
  load_progress last_;
  std::function<bool(const load_progress&)> goes_on_ = [](auto&) {
    return true;
  };
  std::vector<http::outgoing_call> asked_;
  size_t ticks_ = 0;
};

TEST_F(LoadRun, SendsWhenItIsTimeHoweverBusyTheServerIs) {
  auto seen = measure({}, regular(10));
  ASSERT_EQ(seen.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    auto& x = seen[i];
    EXPECT_EQ(x.intended, milliseconds{50} * i);
    EXPECT_EQ(x.sent, x.intended);
    EXPECT_EQ(*x.first - x.intended, milliseconds{100});
    EXPECT_EQ(x.end - x.intended, milliseconds{120});
    EXPECT_EQ(x.prompt_tokens, 7u);
    EXPECT_EQ(x.output_tokens, 2u);
    ASSERT_EQ(x.gaps.size(), 1u);
    EXPECT_NEAR(x.gaps[0], 0.02, 1e-6);
    EXPECT_TRUE(x.ok() && x.is_counted);
  }
  EXPECT_EQ(summarise(seen, {}, {}).most_running, 3u);
}

TEST_F(LoadRun, WhatIsHeldBackInAnOpenLoopHasWaited) {
  load_run_options options;
  options.max_running = 1;
  auto seen = measure(options, regular(5));
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(seen[i].sent, milliseconds{120} * i); // one behind the other
    EXPECT_EQ(seen[i].due, seen[i].sent); // it is not the client's fault
    EXPECT_EQ(*seen[i].first - seen[i].intended,
              milliseconds{100} + milliseconds{70} * i);
  }
}

TEST_F(LoadRun, ClosedLoopSendsTheNextWhenOneHasEnded) {
  load_run_options options;
  options.max_running = 2;
  options.is_closed = true;
  auto seen = measure(options, regular(6));
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(seen[i].sent, milliseconds{120} * (i / 2));
    EXPECT_EQ(seen[i].intended, seen[i].sent);
  }
}

TEST_F(LoadRun, AClientThatIsLateSaysSo) {
  auto stalls = [this](virtual_client& in, auto to) {
    time_.time += milliseconds{30}; // as if making a request took that long
    answer_well(in, to);
  };
  std::vector<planned_request> at_once(3);
  auto seen = measure({}, at_once, stalls);
  auto sum = summarise(seen, {}, {});
  EXPECT_NEAR(sum.ttft.most, 0.19, 1e-6); // 90 ms of which are the client's
  std::vector<double> sent;
  for (auto& x : seen)
    sent.push_back(double((x.sent - x.due).count()) * 1e-9);
  EXPECT_NEAR(sent[2], 0.06, 1e-6);
  EXPECT_GE(ticks_, 15u);
}

TEST_F(LoadRun, ErrorsHaveTheirKinds) {
  using end = http::call_end;
  struct {
    unsigned status;
    std::string body;
    end how;
    std::string kind, why;
  } cases[] = {
    {429, "{\"error\":{\"message\":\"busy\"}}", end::whole, "status 429",
     "busy"},
    {500, "oh", end::whole, "status 500", "oh"},
    {0, "", end::unreachable, "unreachable", "because"},
    {200, a_piece, end::cut, "cut", "because"},
    {200, a_piece, end::whole, "cut", "the stream ended without [DONE]"},
    {200, a_piece, end::timeout, "timeout", "because"},
    {200, "data: {\"error\":{\"message\":\"lost\"}}\n\ndata: [DONE]\n\n",
     end::whole, "error event", "lost"},
    {200, "data: x\n\n", end::dropped, "malformed", "an event that is none: x"},
  };
  size_t next = 0;
  auto seen
    = measure({}, regular(std::size(cases)), [&](virtual_client& in, auto to) {
        auto x = cases[next++];
        in.after(milliseconds{1}, [x, to] {
          auto more = x.body.empty() || to->on_body(x.status, x.body);
          EXPECT_EQ(more, x.how != end::dropped);
          to->on_end(x.how, x.status, "because");
        });
      });
  for (size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(seen[i].error, cases[i].kind);
    EXPECT_EQ(seen[i].why, cases[i].why);
  }
}

TEST_F(LoadRun, BeginsNothingAfterItsTime) {
  load_run_options options;
  options.no_more_after = milliseconds{210};
  auto seen = measure(options, regular(1000));
  EXPECT_EQ(seen.size(), 5u); // at 0, 50, ... 200 ms
  for (auto& x : seen)
    EXPECT_TRUE(x.ok());
}

TEST_F(LoadRun, EndsWhenItIsToldTo) {
  goes_on_ = [](auto& x) { return x.time < milliseconds{300}; };
  auto seen = measure({}, regular(1000));
  EXPECT_EQ(seen.size(), 7u); // at 0, 50, ... 300 ms
  EXPECT_EQ(last_.total, 1000u);
  size_t interrupted = 0;
  for (auto& x : seen)
    interrupted += x.error == "interrupted";
  EXPECT_EQ(interrupted, last_.running);
  EXPECT_GT(interrupted, 0u);
}

TEST_F(LoadRun, AsksAsItsFormSays) {
  load_run_options options;
  options.form = {endpoint::chat, "m", "secret", 0, true, "{\"top_k\": 3}"};
  (void)measure(options, {{{}, 5, 9}});
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].path, "/v1/chat/completions");
  EXPECT_NE(asked_[0].headers.find("Authorization: Bearer secret\r\n"),
            std::string::npos);
  for (auto part : {"\"model\":\"m\"", "\"max_tokens\":9", "\"stream\":true",
                    "\"ignore_eos\":true", "\"top_k\":3", "\"messages\":[",
                    "\"include_usage\":true"})
    EXPECT_NE(asked_[0].body.find(part), std::string::npos) << part;
  options.form = {endpoint::text, "m", "", 1000, false, ""};
  (void)measure(options, {{{}, 5, 9}});
  EXPECT_EQ(asked_[0].path, "/v1/completions");
  EXPECT_NE(asked_[0].body.find("\"prompt\":["), std::string::npos);
  EXPECT_EQ(asked_[0].headers.find("Authorization"), std::string::npos);
}

TEST(StreamEvent, KnowsTokensFromOtherPieces) {
  auto has = [](const char* choice) {
    return read_event("{\"choices\":[" + std::string{choice} + "]}").has_tokens;
  };
  EXPECT_TRUE(has(R"({"text":"a"})"));
  EXPECT_TRUE(has(R"({"text":"","finish_reason":null})"));
  EXPECT_FALSE(has(R"({"text":"","finish_reason":"stop"})"));
  EXPECT_TRUE(has(R"({"text":"a","finish_reason":"stop"})"));
  EXPECT_FALSE(has(R"({"delta":{"role":"assistant","content":""}})"));
  EXPECT_FALSE(has(R"({"delta":{},"finish_reason":"stop"})"));
  EXPECT_TRUE(has(R"({"delta":{"content":"a"}})"));
  EXPECT_TRUE(has(R"({"delta":{"reasoning_content":"a"}})"));
  EXPECT_TRUE(has(R"({"delta":{"tool_calls":[{}]}})"));
  EXPECT_TRUE(read_event("[1]").is_malformed);
}

} // namespace

} // namespace troupe::bench
