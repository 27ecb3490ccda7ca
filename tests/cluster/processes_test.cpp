/// Real processes, real UCX, real signals: the tokens of the plain path, and
/// what becomes of requests when a node is lost.

#include "tests/cluster/child_process.hpp"
#include "tests/cluster/company_fixture.hpp"
#include "tests/cluster/program.hpp"

namespace troupe {

namespace {

constexpr std::chrono::seconds patience{60};

topology_node make_node(std::string name, std::vector<uint32_t> ranks,
                        std::vector<uint32_t> workers) {
  topology_node out;
  out.name = std::move(name);
  out.ranks = std::move(ranks);
  out.workers = std::move(workers);
  return out;
}

/// A company whose first node is this process.
class Processes : public ::testing::Test {
protected:
  /// The four processes of the demo: head, ranks, two of workers.
  static topology four_nodes() {
    return with_short_steps(local(4, 2, 8));
  }

  static topology with_short_steps(topology x) {
    x.limits.max_num_batched_tokens = 128;
    return x;
  }

  /// Two rank nodes, so that one may go.
  static topology two_rank_nodes() {
    topology out;
    out.nodes = {make_node("head", {}, {}), make_node("left", {0}, {}),
                 make_node("right", {1}, {}), make_node("experts", {}, {0, 1})};
    out.nodes[0].gateway = out.nodes[0].controller = true;
    return with_short_steps(out);
  }

  void start(topology cluster) {
    company_options options;
    cluster.max_model_len = 512;
    cluster.limits.num_kv_blocks = 128;
    options.cluster = cluster;
    options.model_dir = nano_model();
    options.secret = secret_;
    options.node.num_threads = 1;
    options.links = links_;
    options.outage_timeout = std::chrono::milliseconds{500};
    auto made = company::start(options);
    ASSERT_TRUE(made) << made.why().message;
    company_ = std::move(*made);
    for (size_t n = 1; n < cluster.nodes.size(); ++n)
      nodes_.push_back(spawn(cluster.nodes[n].name, secret_));
    auto ready = company_->wait_until_ready(patience);
    ASSERT_TRUE(ready) << ready.why().message;
  }

  child_process spawn(const std::string& name, const std::string& secret) {
    return child_process{arguments(name, secret)};
  }

  std::vector<std::string> arguments(const std::string& name,
                                     const std::string& secret) {
    auto path = (scratch_.path() / ("secret-" + name)).string();
    auto* file = fopen(path.c_str(), "w");
    EXPECT_EQ(fchmod(fileno(file), 0600), 0);
    fputs(secret.c_str(), file);
    fclose(file);
    auto address = company_->address();
    std::vector<std::string> out{
      "node",
      "--join",
      address.host + ":" + std::to_string(address.port),
      "--name",
      name,
      "--cluster-secret-file",
      path,
      "--threads",
      "1",
      "--log-level",
      "error"};
    for (auto& link : links_) {
      out.push_back("--emulate-link");
      out.push_back(render(link));
    }
    return out;
  }

  /// One more process of that name: what it says, once it has ended.
  tests::outcome run_another(const std::string& name) {
    return tests::run_troupe(arguments(name, secret_));
  }

  /// A request that goes on for as long as the context has room.
  static generation_request long_request(uint32_t rank) {
    auto out = request_for(random_prompt(50 + rank, 20), 0, 3);
    out.max_tokens = 400;
    out.want_logits = false;
    out.rank = rank;
    return out;
  }

  /// Of four nodes, the first with workers dies while both ranks answer: each
  /// answer ends with its name. They have begun `num_tokens` together.
  void kill_workers_under_requests(uint64_t num_tokens) {
    listener ears{2};
    for (uint32_t rank = 0; rank < 2; ++rank)
      ASSERT_TRUE(company_->submit(long_request(rank), ears.handler(rank)));
    ears.wait_for_tokens(num_tokens);
    nodes_[2].kill(SIGKILL);
    for (auto& x : ears.wait()) {
      ASSERT_TRUE(x.cause);
      EXPECT_EQ(x.cause->code, errc::peer_lost);
      EXPECT_NE(x.cause->message.find(name_of_workers()), std::string::npos)
        << x.cause->message;
    }
  }

  static std::string name_of_workers() {
    return four_nodes().nodes[3].name;
  }

  static std::string secret_of_tests() {
    return "the show must go on";
  }

  /// Every link of the cluster is slow from now on.
  void slow_down(std::string_view how) {
    links_ = {*parse_link_emulation(how)};
  }

  const tests::scratch_dir scratch_;
  const std::string secret_ = secret_of_tests();
  std::vector<link_emulation> links_;
  std::unique_ptr<company> company_;
  std::vector<child_process> nodes_; ///< By node id - 1.
};

TEST_F(Processes, FourAnswerLikeThePlainPathBitForBit) {
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  auto requests = reference_requests();
  for (uint32_t i = 0; i < 28; ++i)
    requests.push_back(request_for(random_prompt(100 + i, 3 + i), 6, i));
  auto got = ask_all(*company_, requests);
  expect_equal(got,
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

/// A smaller table than that of the virtual world (overlap_table_test.cpp).
TEST_F(Processes, AnswerAlikeInAnyNumberOfLanes) {
  auto expected = ask_plain(nano_model(), precision::fp8, reference_requests());
  for (uint32_t lanes = 1; lanes <= 4; ++lanes)
    for (uint32_t chunk : {64u, 512u}) {
      auto cluster = chunk == 64 ? four_nodes() : local(2, 1, 1);
      cluster.limits.micro_batches = lanes;
      cluster.limits.max_num_batched_tokens = chunk;
      cluster.limits.max_num_seqs = 16;
      ASSERT_NO_FATAL_FAILURE(start(cluster));
      auto requests = reference_requests();
      for (uint32_t i = 0; i < 8; ++i)
        requests.push_back(request_for(random_prompt(i, 3 + 40 * i), 6, i));
      SCOPED_TRACE(std::to_string(lanes) + " lanes, chunks of "
                   + std::to_string(chunk));
      expect_equal(ask_all(*company_, requests), expected);
      company_.reset();
      nodes_.clear();
    }
}

TEST_F(Processes, AnswerAlikeHoweverRowsAreCutIntoFrames) {
  auto cluster = four_nodes();
  cluster.limits.max_frame_bytes = 4096;
  ASSERT_NO_FATAL_FAILURE(start(cluster));
  auto requests = reference_requests();
  for (uint32_t i = 0; i < 8; ++i)
    requests.push_back(request_for(random_prompt(100 + i, 30 + 10 * i), 6, i));
  expect_equal(ask_all(*company_, requests),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

TEST_F(Processes, FourOnSlowLinksAnswerLikeThePlainPathAndEndCleanly) {
  slow_down("latency=2ms,jitter=200us,rate=1gbit");
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  auto requests = reference_requests();
  for (uint32_t i = 0; i < 8; ++i)
    requests.push_back(request_for(random_prompt(100 + i, 3 + i), 6, i));
  expect_equal(ask_all(*company_, requests),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
  company_.reset();
  for (auto& node : nodes_)
    EXPECT_EQ(node.wait(patience), 0);
}

/// What is held for the dead one is dropped; the others end as ever.
TEST_F(Processes, AKilledNodeEndsRequestsOnSlowLinksToo) {
  slow_down("latency=20ms,rate=100mbit");
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  ASSERT_NO_FATAL_FAILURE(kill_workers_under_requests(2));
  company_.reset();
  for (size_t n : {0, 1})
    EXPECT_EQ(nodes_[n].wait(patience), 0);
}

TEST_F(Processes, EndTogetherAndCleanly) {
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  company_.reset();
  for (auto& node : nodes_)
    EXPECT_EQ(node.wait(patience), 0);
}

TEST_F(Processes, AKilledWorkerNodeEndsRequestsWithItsName) {
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  ASSERT_NO_FATAL_FAILURE(kill_workers_under_requests(20));
  auto refused = company_->submit(long_request(0), [](auto&) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().code, errc::peer_lost);
  EXPECT_NE(company_->trouble()->find(name_of_workers()), std::string::npos);
}

TEST_F(Processes, ANodeThatIsAskedToEndGoesCleanlyWhateverItsStreamsDo) {
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  listener ears{8};
  for (uint32_t i = 0; i < 8; ++i)
    ASSERT_TRUE(company_->submit(long_request(i % 2), ears.handler(i)));
  ears.wait_for_tokens(20);
  nodes_[0].kill(SIGTERM); // holds both ranks
  EXPECT_EQ(nodes_[0].wait(patience), 0);
  auto name = four_nodes().nodes[1].name;
  for (auto& x : ears.wait()) {
    ASSERT_TRUE(x.cause);
    EXPECT_NE(x.cause->message.find(name), std::string::npos)
      << x.cause->message;
  }
}

TEST_F(Processes, AKilledRankNodeLeavesTheOthersGoingOn) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  listener ears{2};
  for (uint32_t rank = 0; rank < 2; ++rank)
    ASSERT_TRUE(company_->submit(long_request(rank), ears.handler(rank)));
  ears.wait_for_tokens(20);
  nodes_[1].kill(SIGKILL);
  auto answers = ears.wait();
  ASSERT_TRUE(answers[1].cause);
  EXPECT_NE(answers[1].cause->message.find("right"), std::string::npos);
  expect_equal({answers[0]},
               ask_plain(nano_model(), precision::fp8, {long_request(0)}));
  expect_equal(ask_all(*company_, reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

/// With the same tokens and logits, none twice, from wherever they were: one is
/// still at its prompt. The second loss leaves nobody to go on with them.
TEST_F(Processes, RequestsOfAKilledRankGoOnAtTheOther) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  std::vector<generation_request> requests;
  for (uint32_t i = 0; i < 6; ++i) {
    requests.push_back(request_for(random_prompt(i, 4 + 70 * i), 100, i));
    requests.back().num_scores = 3;
    requests.back().num_prompt_scores = i % 2;
  }
  auto expected = ask_plain(nano_model(), precision::fp8, requests);
  listener ears{6};
  for (uint32_t i = 0; i < 6; ++i)
    ASSERT_TRUE(company_->submit(requests[i], ears.handler(i)));
  ears.wait_for_tokens(12);
  nodes_[1].kill(SIGKILL);
  expect_equal(ears.wait(), expected);
  EXPECT_EQ(company_->stats().requests_moved, 3u);
  nodes_[0].kill(SIGKILL);
  auto alone = ask_all(*company_, {request_for(random_prompt(1, 5), 200, 1)});
  ASSERT_TRUE(alone[0].cause);
  EXPECT_EQ(alone[0].cause->code, errc::peer_lost);
}

/// Each of two nodes has all experts. What one of them has of a step is begun
/// again with the other.
TEST_F(Processes, LostExpertsAreMadeUpForByTheirReplicas) {
  auto source = checkpoint::open(nano_model());
  ASSERT_TRUE(source);
  auto num_experts = (*source->config()).n_routed_experts;
  for (uint32_t lanes : {1u, 2u}) {
    auto cluster = four_nodes();
    cluster.limits.micro_batches = lanes;
    cluster.units = cluster.all_units();
    cluster.units[0].num_redundant_experts = num_experts;
    ASSERT_NO_FATAL_FAILURE(start(cluster));
    std::vector<generation_request> requests;
    for (uint32_t i = 0; i < 6; ++i)
      requests.push_back(request_for(random_prompt(i, 4 + 70 * i), 60, i));
    auto expected = ask_plain(nano_model(), precision::fp8, requests);
    listener ears{6};
    for (uint32_t i = 0; i < 6; ++i)
      ASSERT_TRUE(company_->submit(requests[i], ears.handler(i)));
    ears.wait_for_tokens(40);
    nodes_[lanes].kill(SIGKILL); // the first node with experts, or the second
    expect_equal(ears.wait(), expected);
    expect_equal(ask_all(*company_, reference_requests()),
                 ask_plain(nano_model(), precision::fp8, reference_requests()));
    company_.reset();
    nodes_.clear();
  }
}

TEST_F(Processes, AStoppedNodeCountsAsLostAfterASilence) {
  ASSERT_NO_FATAL_FAILURE(start(four_nodes()));
  listener ears{1};
  ASSERT_TRUE(company_->submit(long_request(0), ears.handler(0)));
  ears.wait_for_tokens(5);
  nodes_[1].kill(SIGSTOP);
  auto answers = ears.wait();
  ASSERT_TRUE(answers[0].cause);
  EXPECT_EQ(answers[0].cause->code, errc::peer_lost);
}

TEST_F(Processes, AKilledNodeThatIsStartedAgainServesAgain) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  for (uint64_t i = 1; i <= 2; ++i) {
    nodes_[1].kill(SIGKILL);
    // At once: the door may not have heard of the verdict yet.
    nodes_[1] = spawn("right", secret_);
    ASSERT_TRUE(comes_true([&] {
      return company_->stats().nodes_came_back == i && !company_->trouble();
    }));
    auto requests = reference_requests();
    for (auto& x : requests)
      x.rank = 1; // on it
    expect_equal(ask_all(*company_, requests),
                 ask_plain(nano_model(), precision::fp8, reference_requests()));
  }
}

TEST_F(Processes, ASecondNodeOfALivingNameEndsWithASentence) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  auto second = run_another("right");
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.errors.find("node right is here already, as another "
                               "process; it stays"),
            std::string::npos)
    << second.errors;
  EXPECT_FALSE(company_->trouble());
  expect_equal(ask_all(*company_, reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

TEST_F(Processes, ANodeThatStoodStillWhileItWasGivenUpHearsWhy) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  listener ears{1};
  ASSERT_TRUE(company_->submit(long_request(1), ears.handler(0)));
  ears.wait_for_tokens(5);
  nodes_[1].kill(SIGSTOP);
  auto answers = ears.wait();
  ASSERT_TRUE(answers[0].cause);
  nodes_[1].kill(SIGCONT);
  EXPECT_EQ(nodes_[1].wait(patience), 1);
  expect_equal(ask_all(*company_, reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

TEST_F(Processes, TheEndWaitsForNobodyWhoWasGivenUp) {
  ASSERT_NO_FATAL_FAILURE(start(two_rank_nodes()));
  nodes_[1].kill(SIGSTOP);
  listener ears{1};
  ASSERT_TRUE(company_->submit(long_request(1), ears.handler(0)));
  ASSERT_TRUE(ears.wait()[0].cause);
  for (auto i : {0, 2})
    nodes_[i].kill(SIGTERM); // they leave at once
  for (auto i : {0, 2})
    EXPECT_EQ(nodes_[i].wait(patience), 0);
  system_clock time;
  auto begin = time.now();
  company_.reset();
  EXPECT_LT(time.now() - begin, std::chrono::milliseconds{1500});
}

TEST_F(Processes, ANodeWithAnotherSecretStaysOutside) {
  company_options options;
  options.cluster = local(2, 1, 1);
  options.cluster.max_model_len = 512;
  options.model_dir = nano_model();
  options.secret = secret_;
  auto made = company::start(options);
  ASSERT_TRUE(made) << made.why().message;
  company_ = std::move(*made);
  auto stranger = spawn(options.cluster.nodes[1].name,
                        "the secret of another show");
  EXPECT_EQ(stranger.wait(patience), 1);
  EXPECT_TRUE(company_->trouble());
  nodes_.push_back(spawn(options.cluster.nodes[1].name, secret_));
  auto ready = company_->wait_until_ready(patience);
  EXPECT_TRUE(ready) << ready.why().message;
}

} // namespace

} // namespace troupe
