// Two whole nodes in one process: whatever dies in one of them, both come to an
// end with a sentence, or the first one says what is missing.

#include "actors/node.hpp"
#include "runtime/clock.hpp"
#include "runtime/transport/loopback.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <map>

using namespace troupe;

namespace {

constexpr std::chrono::seconds patience_with_both{60};

class TwoNodes : public testing::Test {
protected:
  TwoNodes() {
    cluster_.max_model_len = 64;
    cluster_.limits = {8, 64, 16, 32};
  }

  void start() {
    status_ = std::make_shared<gateway_status>();
    status_->outage_timeout = outage_;
    events_.clear();
    for (node_id n : {0, 1})
      ASSERT_NO_FATAL_FAILURE(start(n));
    auto ready = nodes_[0]->wait_until_started(patience_with_both);
    ASSERT_TRUE(ready) << ready.why().message;
  }

  void start(node_id n, uint64_t incarnation = 0) {
    node_setup setup;
    setup.name = cluster_.nodes[n].name;
    setup.incarnation = incarnation == 0 ? 7u + n : incarnation;
    setup.log = &log_;
    if (n == 0) {
      setup.cluster = cluster_;
      setup.model_dir = golden_case("v3-fp8");
      setup.status = status_;
    }
    setup.make_network = [=, this](transport_handler handler) {
      network out;
      out.net = net_.join(n, {setup.name, setup.incarnation, 0, {}},
                          std::move(handler));
      return result<network>{std::move(out)};
    };
    auto made = node::start(std::move(setup));
    ASSERT_TRUE(made) << made.why().message;
    nodes_[n] = std::move(*made);
  }

  /// Another process of node 1, which was given up.
  void come_back(uint64_t incarnation) {
    nodes_[1].reset();
    ASSERT_NO_FATAL_FAILURE(start(1, incarnation));
    auto ready = nodes_[1]->wait_until_started(patience_with_both);
    ASSERT_TRUE(ready) << ready.why().message;
  }

  /// A request that goes on until something ends it.
  void ask() {
    auto what = std::make_shared<generation_request>();
    what->prompt = {1, 2, 3};
    what->max_tokens = 60;
    what->ignore_eos = true;
    auto id = status_->requests.open(
      [this](const generation_event& event) {
        std::lock_guard lock{mutex_};
        events_.push_back(event);
        changed_.notify_all();
      },
      64);
    ASSERT_TRUE(id) << id.why().message;
    tell(cast(0)->gateway, accept_request{*id, what});
  }

  /// Waits for the end of the request; empty if it ended well.
  std::string end_of_request() {
    std::unique_lock lock{mutex_};
    auto is_there = changed_.wait_for(lock, patience_with_both, [this] {
      return !events_.empty() && events_.back().finish != finish_reason::none;
    });
    EXPECT_TRUE(is_there);
    if (!is_there || !events_.back().cause)
      return "";
    return events_.back().cause->message;
  }

  std::string end_of(node_id n) {
    auto cause = nodes_[n]->wait_until_over();
    return cause ? cause->message : "";
  }

  std::shared_ptr<const cast_list> cast(node_id n) {
    return nodes_[n]->here()->read();
  }

  struct death {
    const char* who;
    std::function<void(const cast_list&)> kill;
  };

  template <class Handle>
  static void kill(const Handle& actor) {
    caf::anon_send_exit(actor, caf::exit_reason::unhandled_exception);
  }

  topology cluster_ = local(2, 1, 1);
  logger log_{"test", log_level::error};
  std::chrono::milliseconds outage_{100};
  std::shared_ptr<gateway_status> status_;
  std::mutex mutex_; ///< For the two below.
  std::condition_variable changed_;
  std::vector<generation_event> events_;
  loopback_network net_;
  std::unique_ptr<node> nodes_[2];
};

void expect_in(const std::string& text, const std::string& words) {
  EXPECT_NE(text.find(words), std::string::npos) << text;
}

} // namespace

TEST_F(TwoNodes, AnyActorThatDiesEndsItsNodeAndIsMissedByTheFirst) {
  for (auto& x :
       std::vector<death>{{"an actor of this node has died",
                           [](auto& all) { kill(all.ranks.at(0)); }},
                          {"an actor of this node has died",
                           [](auto& all) { kill(all.schedulers.at(0)); }},
                          {"an actor of this node has died",
                           [](auto& all) { kill(all.workers.at(0)); }},
                          {"the supervisor of this node has died",
                           [](auto& all) { kill(all.supervisor); }},
                          {"the peer of this node has died",
                           [](auto& all) { kill(all.peers.at(0)); }}}) {
    SCOPED_TRACE(x.who);
    ASSERT_NO_FATAL_FAILURE(start());
    x.kill(*cast(1));
    expect_in(end_of(1), x.who);
    nodes_[1].reset(); // as its process does
    ASSERT_NO_FATAL_FAILURE(ask());
    expect_in(end_of_request(), "node " + cluster_.nodes[1].name);
    nodes_[0].reset();
  }
}

TEST_F(TwoNodes, AnyActorOfTheFirstThatDiesEndsBoth) {
  for (auto& x :
       std::vector<death>{{"the gateway of this node has died",
                           [](auto& all) { kill(all.gateway); }},
                          {"the controller of this node has died",
                           [](auto& all) { kill(all.controller); }},
                          {"the supervisor of this node has died",
                           [](auto& all) { kill(all.supervisor); }},
                          {"the peer of this node has died",
                           [](auto& all) { kill(all.peers.at(1)); }}}) {
    SCOPED_TRACE(x.who);
    ASSERT_NO_FATAL_FAILURE(start());
    x.kill(*cast(0));
    expect_in(end_of(0), x.who);
    nodes_[0].reset();
    expect_in(end_of(1), "the controller is gone: node front has ended");
    nodes_[1].reset();
  }
}

TEST_F(TwoNodes, WhoIsGivenUpEndsWithTheReasonAndIsNotWaitedForAtTheEnd) {
  ASSERT_NO_FATAL_FAILURE(start());
  tell(cast(0)->controller,
       node_suspected{0, 1, 8, "it fell off the stage", 7});
  expect_in(end_of(1), "it fell off the stage");
  ASSERT_NO_FATAL_FAILURE(ask());
  expect_in(end_of_request(), "it fell off the stage");
  system_clock time;
  auto begin = time.now();
  nodes_[0]->shut_down_cluster(patience_with_both); // node 1 is still an object
  EXPECT_LT(time.now() - begin, patience_with_both / 2);
  for (auto n : {1, 0})
    nodes_[n].reset();
}

TEST_F(TwoNodes, LateEvidenceAgainstAnotherProcessEndsNothing) {
  ASSERT_NO_FATAL_FAILURE(start());
  tell(cast(0)->controller,
       node_suspected{0, 1, 99, "it fell off the stage", 7});
  tell(cast(0)->controller,
       node_suspected{1, 0, 7, "it fell off the stage", 8});
  tell(cast(0)->controller,
       node_suspected{1, 1, 8, "a predecessor says so", 99});
  ASSERT_NO_FATAL_FAILURE(ask());
  EXPECT_EQ(end_of_request(), "");
  EXPECT_FALSE(nodes_[1]->over());
  for (auto n : {1, 0})
    nodes_[n].reset();
}

TEST_F(TwoNodes, WhoComesBackAgainAndAgainServesRequestsThatHaveWaited) {
  outage_ = patience_with_both;
  ASSERT_NO_FATAL_FAILURE(start());
  for (uint64_t incarnation : {20, 21, 22}) {
    SCOPED_TRACE(incarnation);
    {
      std::lock_guard lock{mutex_};
      events_.clear();
    }
    ASSERT_NO_FATAL_FAILURE(ask());
    {
      std::unique_lock lock{mutex_};
      ASSERT_TRUE(changed_.wait_for(lock, patience_with_both,
                                    [this] { return !events_.empty(); }));
    }
    kill(cast(1)->workers.at(0));
    expect_in(end_of(1), "an actor of this node has died");
    ASSERT_NO_FATAL_FAILURE(come_back(incarnation));
    EXPECT_EQ(end_of_request(), "");
    EXPECT_EQ(cast(1)->members->number, incarnation - 18);
  }
  for (auto n : {1, 0})
    nodes_[n].reset();
}
