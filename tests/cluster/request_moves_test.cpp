/// Running requests move from rank to rank of real processes, far more often
/// than is of use: the tokens and logits of the plain path, also if processes
/// are killed meanwhile.

#include "runtime/cluster/request_settings.hpp"
#include "tests/cluster/child_process.hpp"
#include "tests/cluster/company_fixture.hpp"

#include <filesystem>
#include <random>

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// Moves as many as it may, each to the next rank.
class restless_policy : public balance::request_policy {
public:
  std::vector<balance::request_move>
  plan(std::span<const balance::decode_rank> ranks,
       std::span<const balance::decode_request> requests) override {
    std::vector<balance::request_move> out;
    for (auto& x : requests)
      out.push_back({x.id, x.rank, uint32_t((x.rank + 1) % ranks.size()),
                     x.kv_tokens, 0, 0});
    return out;
  }
};

/// Three ranks and two workers; the first node, which moves, is this process.
class RequestMoves : public testing::Test {
protected:
  static topology company_of(bool has_processes) {
    auto out = single_process(3, 2);
    if (has_processes) {
      out.nodes = {{"front", "127.0.0.1", true, true, false, {}, {}}};
      for (uint32_t i = 0; i < 3; ++i)
        out.nodes.push_back(
          {"r" + std::to_string(i), "127.0.0.1", false, false, false, {i}, {}});
      out.nodes.push_back(
        {"experts", "127.0.0.1", false, false, false, {}, {0, 1}});
    }
    out.max_model_len = 512;
    out.limits.max_num_batched_tokens = 128;
    out.limits.max_num_seqs = 16;
    out.limits.num_kv_blocks = 128;
    out.limits.moving_requests = true;
    return out;
  }

  void start(bool has_processes) {
    company_options options;
    options.cluster = company_of(has_processes);
    options.model_dir = nano_model();
    options.node.num_threads = has_processes ? 1 : 2;
    auto moving = std::make_shared<request_settings>();
    moving->interval = 5ms;
    moving->rest = 10ms;
    moving->least_left = 1;
    moving->policy = std::make_shared<restless_policy>();
    options.node.moving = moving;
    auto made = company::start(options);
    ASSERT_TRUE(made) << made.why().message;
    company_ = std::move(*made);
    for (size_t n = 1; n < options.cluster.nodes.size(); ++n)
      nodes_.push_back(spawn(options.cluster.nodes[n].name));
    auto ready = company_->wait_until_ready(60s);
    ASSERT_TRUE(ready) << ready.why().message;
  }

  child_process spawn(const std::string& name) {
    auto address = company_->address();
    return child_process{
      {"node", "--join", address.host + ":" + std::to_string(address.port),
       "--name", name, "--threads", "1", "--log-level", "error"}};
  }

  /// Beside those of all variants long ones, greedy and drawn.
  static std::vector<generation_request> requests() {
    auto out = reference_requests();
    for (uint32_t i = 0; i < 24; ++i) {
      auto x = request_for(random_prompt(200 + i, 10 + 6 * i), 100 + 5 * i,
                           i % 3);
      x.want_logits = i < 4;
      out.push_back(std::move(x));
    }
    return out;
  }

  static const std::vector<answer>& want() {
    static const auto out = ask_plain(nano_model(), precision::fp8, requests());
    return out;
  }

  std::unique_ptr<company> company_;
  std::vector<child_process> nodes_; ///< By node id - 1.
};

TEST_F(RequestMoves, ChangeNoBit) {
  ASSERT_NO_FATAL_FAILURE(start(false));
  uint64_t num_rounds = 0;
  // 1,000 moves under load.
  for (; num_rounds < 20 && company_->stats().requests_balanced < 1000;
       ++num_rounds)
    expect_equal(ask_all(*company_, requests()), want());
  auto stats = company_->stats();
  EXPECT_GE(stats.requests_balanced, 1000u);
  EXPECT_EQ(stats.requests_failed, 0u);
  EXPECT_EQ(stats.requests_moved, 0u) << "nobody was lost";
  EXPECT_TRUE(comes_true([&] { return company_->stats().handed_blocks > 0; }));
  RecordProperty("rounds", int(num_rounds));
  RecordProperty("refused", int(stats.request_moves_refused));
}

TEST_F(RequestMoves, GoOnWhateverIsKilledWhenever) {
  ASSERT_NO_FATAL_FAILURE(start(true));
  auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 chance{seed};
  expect_equal(ask_all(*company_, requests()), want());
  EXPECT_GT(company_->stats().requests_balanced, 0u);
  for (size_t i = 0; i < 3; ++i) {
    auto asked = requests();
    listener ears{asked.size()};
    for (size_t j = 0; j < asked.size(); ++j)
      ASSERT_TRUE(company_->submit(asked[j], ears.handler(j)));
    ears.wait_for_tokens(1 + chance() % 1500);
    auto& node = nodes_[i];
    node.kill(SIGKILL);
    EXPECT_TRUE(comes_true([&] { return company_->trouble().has_value(); }));
    expect_equal(ears.wait(), want());
    EXPECT_EQ(node.wait(10s), 128 + SIGKILL);
    node = spawn("r" + std::to_string(i));
    EXPECT_TRUE(comes_true([&] { return !company_->trouble(); }));
  }
  EXPECT_GT(company_->stats().requests_moved, 0u);
  EXPECT_EQ(company_->stats().requests_failed, 0u);
}

} // namespace

} // namespace troupe
