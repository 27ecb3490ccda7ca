#include "actors/node.hpp"

#include "actors/networks.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>

using namespace troupe;

namespace {

constexpr std::chrono::seconds patience{60};

/// A whole node with a real cast, whose actors a test may end.
class Node : public testing::Test {
protected:
  void start(uint32_t dp = 2, uint32_t ep = 2) {
    node_setup setup;
    setup.name = "solo";
    setup.incarnation = 7;
    setup.log = &log_;
    setup.cluster = single_process(dp, ep);
    setup.cluster->max_model_len = 64;
    setup.cluster->limits = {8, 64, 16, 32};
    setup.model_dir = golden_case("v3-fp8");
    setup.status = status_;
    network_options net{"troupe", setup.name, setup.incarnation, {}, "", false,
                        &log_,    {}};
    setup.make_network = one_node_network(net);
    setup.state = state_;
    setup.disk_patience = disk_patience_;
    auto made = node::start(std::move(setup));
    ASSERT_TRUE(made) << made.why().message;
    node_ = std::move(*made);
  }

  void start_and_wait() {
    ASSERT_NO_FATAL_FAILURE(start());
    auto ready = node_->wait_until_started(patience);
    ASSERT_TRUE(ready) << ready.why().message;
  }

  std::shared_ptr<const cast_list> cast() {
    return node_->here()->read();
  }

  /// Opens a request that ends only with the node.
  void open_one() {
    auto i = events_.size();
    events_.emplace_back();
    auto id = status_->requests.open(
      [this, i](const generation_event& event) {
        std::lock_guard lock{mutex_};
        events_[i].push_back(event);
      },
      64);
    ASSERT_TRUE(id) << id.why().message;
  }

  void open_some() {
    events_.reserve(4);
    for (int i = 0; i < 4; ++i)
      ASSERT_NO_FATAL_FAILURE(open_one());
  }

  /// Every request has heard of one end, and this was its cause.
  void expect_ends(const std::string& cause) {
    std::lock_guard lock{mutex_};
    for (auto& x : events_) {
      ASSERT_EQ(x.size(), 1u);
      EXPECT_EQ(x[0].finish, finish_reason::failed);
      ASSERT_TRUE(x[0].cause);
      EXPECT_NE(x[0].cause->message.find(cause), std::string::npos)
        << x[0].cause->message;
    }
  }

  std::shared_ptr<state_store> state_; ///< Null: in memory.
  std::chrono::milliseconds disk_patience_{10'000};
  logger log_{"test", log_level::error};
  std::shared_ptr<gateway_status> status_ = std::make_shared<gateway_status>();
  std::mutex mutex_;
  std::vector<std::vector<generation_event>> events_;
  std::unique_ptr<node> node_;
};

/// From some time on it hangs.
class hung_store final : public state_store {
public:
  const std::optional<cluster_state>& last() const override {
    return inner_->last();
  }

  result<void> compare_and_set(uint64_t seen, cluster_state next) override {
    if (hangs) {
      begun.set_value();
      go.get_future().wait();
    }
    auto ok = inner_->compare_and_set(seen, std::move(next));
    if (hangs)
      ended.set_value();
    return ok;
  }

  std::atomic<bool> hangs = false;
  std::promise<void> begun, go, ended;

private:
  std::unique_ptr<state_store> inner_ = make_memory_store();
};

} // namespace

TEST_F(Node, EndsAlsoIfTheDiskDoesNot) {
  auto store = std::make_shared<hung_store>();
  state_ = store;
  disk_patience_ = std::chrono::milliseconds{0};
  ASSERT_NO_FATAL_FAILURE(start_and_wait());
  store->hangs = true;
  tell(cast()->controller,
       placement_published{
         std::make_shared<const placement_lists>(placement_lists{0, 2, {}})});
  store->begun.get_future().wait();
  node_.reset();
  store->go.set_value();
  store->ended.get_future().wait();
  EXPECT_EQ(store->last()->units.at(0).epoch, 2u);
}

TEST_F(Node, EndsEveryOpenRequestWhenItIsDestroyed) {
  ASSERT_NO_FATAL_FAILURE(start_and_wait());
  ASSERT_NO_FATAL_FAILURE(open_some());
  node_.reset();
  expect_ends("the service has ended");
  EXPECT_TRUE(status_->requests.closed());
}

TEST_F(Node, MayBeDestroyedWhileItLoads) {
  for (int i = 0; i < 20; ++i) {
    status_ = std::make_shared<gateway_status>();
    ASSERT_NO_FATAL_FAILURE(start());
    if (i % 2 == 1)
      (void)node_->wait_until_started(std::chrono::milliseconds{i});
    node_.reset();
  }
}

TEST_F(Node, EndsRequestsWithTheNameOfWhoeverHasDied) {
  struct death {
    const char* who;
    std::function<void(const cast_list&)> kill;
  };
  auto kill = [](auto& actor) {
    caf::anon_send_exit(actor, caf::exit_reason::unhandled_exception);
  };
  for (auto& x : std::vector<death>{
         {"an actor of this node has died",
          [&](auto& all) { kill(all.ranks.at(rank_id(1))); }},
         {"an actor of this node has died",
          [&](auto& all) { kill(all.schedulers.at(rank_id(0))); }},
         {"an actor of this node has died",
          [&](auto& all) { kill(all.workers.at(worker_id(1))); }},
         {"the gateway of this node has died",
          [&](auto& all) { kill(all.gateway); }},
         {"the controller of this node has died",
          [&](auto& all) { kill(all.controller); }},
         {"the supervisor of this node has died",
          [&](auto& all) { kill(all.supervisor); }}}) {
    SCOPED_TRACE(x.who);
    status_ = std::make_shared<gateway_status>();
    events_.clear();
    ASSERT_NO_FATAL_FAILURE(start_and_wait());
    ASSERT_NO_FATAL_FAILURE(open_some());
    x.kill(*cast());
    auto cause = node_->wait_until_over();
    ASSERT_TRUE(cause);
    EXPECT_NE(cause->message.find(x.who), std::string::npos) << cause->message;
    node_.reset();
    expect_ends(x.who);
  }
}

TEST_F(Node, GivesNothingAnyMoreOnceItIsOver) {
  ASSERT_NO_FATAL_FAILURE(start_and_wait());
  node_->request_end();
  EXPECT_FALSE(node_->wait_until_over()) << "it was asked to";
  auto refused = status_->requests.open([](auto&) { FAIL(); }, 64);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().code, errc::cancelled);
}

namespace {

/// Says something once more while it goes, as a thread of its own might.
struct talkative_transport : transport {
  talkative_transport(transport_handler handler, body last)
    : handler_(std::move(handler)), last_(std::move(last)) {
  }

  ~talkative_transport() override {
    handler_.on_frame(1, {{}, std::move(last_)});
  }

  void send(node_id, frame_header, body) override {
  }
  void set_max_unsent(size_t) override {
  }
  void set_view(uint32_t) override {
  }
  void disconnect(node_id, uint64_t, const std::string&) override {
  }
  transport_stats stats() const override {
    return {};
  }

  transport_handler handler_;
  body last_;
};

} // namespace

TEST(NodeCore, TakesWhatItsNetworkSaysUntilTheNetworkIsGone) {
  logger log{"test", log_level::error};
  auto bytes = std::make_shared<std::vector<std::byte>>(3);
  std::weak_ptr<void> held = bytes;
  node_setup setup;
  setup.log = &log;
  setup.make_network = [&](transport_handler handler) -> result<network> {
    network out;
    out.net = std::make_unique<talkative_transport>(std::move(handler),
                                                    body{bytes, *bytes});
    bytes.reset();
    return out;
  };
  auto core = std::make_unique<node_core>(std::move(setup), node_hooks{});
  ASSERT_TRUE(core->open()); // and never acts, as where a start fails
  EXPECT_FALSE(held.expired());
  core.reset();
  EXPECT_TRUE(held.expired()) << "it went where nobody looks any more";
}
