/// Real processes whose experts move by themselves, since rows choose some of
/// them much more than others: with the tokens of the plain path.

#include "runtime/balance/expert_balancer.hpp"
#include "runtime/cluster/balance_settings.hpp"
#include "runtime/cluster/cluster_status.hpp"
#include "tests/cluster/moving_company.hpp"
#include "tests/cluster/program.hpp"
#include "tests/edited_model.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// The nano model, whose router prefers experts 0 to 7 of each layer: the
/// number that it adds to their scores to choose by is greater.
std::filesystem::path skewed_model(const std::filesystem::path& dir) {
  std::filesystem::copy(nano_model(), dir);
  edited_model out{nano_model()};
  for (int layer = 1; layer <= 4; ++layer) {
    auto name = "model.layers." + std::to_string(layer)
                + ".mlp.gate.e_score_correction_bias";
    auto view = out.tensors.at(name);
    std::vector<std::byte> bytes(view.bytes.begin(), view.bytes.end());
    for (size_t e = 0; e < 8; ++e) {
      float x = 0;
      std::memcpy(&x, bytes.data() + 4 * e, 4);
      x += 0.25f;
      std::memcpy(bytes.data() + 4 * e, &x, 4);
    }
    out.set(name, view.dtype, view.shape, std::move(bytes));
  }
  return out.write(dir);
}

std::vector<generation_request> some_requests(uint32_t count) {
  std::vector<generation_request> out;
  for (uint32_t i = 0; i < count; ++i)
    out.push_back(request_for(random_prompt(i, 4 + 30 * i), 90, i));
  return out;
}

std::shared_ptr<balance_settings> every(std::chrono::milliseconds interval) {
  auto out = std::make_shared<balance_settings>();
  out->interval = interval;
  return out;
}

/// Rows of each worker so far, once all are told: each is chosen and run, and
/// there are more than `known`. What is told is a second old.
std::vector<uint64_t> rows_of(company& of, uint64_t known = 0) {
  std::vector<uint64_t> out;
  auto is_told = [&] {
    auto x = of.cluster();
    out.clear();
    for (auto& worker : x.workers) { // of nodes that have said anything yet
      out.resize(std::max<size_t>(out.size(), worker.worker + 1));
      out[worker.worker] = worker.rows;
    }
    uint64_t chosen = 0;
    for (auto& layer : x.layers)
      for (auto& expert : layer.experts)
        chosen += expert.rows;
    return chosen > known
           && chosen == std::accumulate(out.begin(), out.end(), 0ul);
  };
  EXPECT_TRUE(comes_true(is_told));
  return out;
}

/// Mean over largest of what has come since `before`.
double balance_since(const std::vector<uint64_t>& before, company& of) {
  auto now
    = rows_of(of, std::accumulate(before.begin(), before.end(), uint64_t{0}));
  double sum = 0, most = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    double rows = double(now[i] - (before.empty() ? 0 : before.at(i)));
    sum += rows;
    most = std::max(most, rows);
  }
  return sum / double(now.size()) / most;
}

std::shared_ptr<const balance_status> status_of(company& of) {
  return of.cluster().balance;
}

/// Two replicas of half of the experts, on other nodes, and room for two more
/// on each worker.
topology with_replicas() {
  auto out = moving_company::four_processes(2);
  out.units[0].num_redundant_experts = 16;
  return out;
}

} // namespace

TEST(BalancedCompany, WorkersGetAsManyRowsAfterMovesAndTokensStay) {
  tests::scratch_dir scratch;
  auto model = skewed_model(scratch.path() / "model");
  auto requests = some_requests(6);
  auto expected = ask_plain(model, precision::fp8, requests);
  double before = 0;
  {
    moving_company still;
    ASSERT_EQ(still.start(with_replicas(), model), "");
    expect_equal(ask_all(still.front(), requests), expected);
    before = balance_since({}, still.front());
    EXPECT_FALSE(status_of(still.front()));
  }
  moving_company all;
  ASSERT_EQ(all.start(with_replicas(), model, every(1500ms)), "");
  auto& front = all.front();
  for (int round = 0; round < 40; ++round) {
    expect_equal(ask_all(front, requests), expected);
    auto x = status_of(front);
    if (x && x->changes > 0 && x->plans > x->changes + 1 && x->gain < 0.1)
      break;
  }
  auto done = status_of(front);
  ASSERT_TRUE(done);
  ASSERT_GT(done->changes, 0u);
  EXPECT_GT(done->moves, 0u);
  ASSERT_FALSE(done->recent.empty());
  EXPECT_NE(done->recent[0].reason.find("times the mean"), std::string::npos);
  EXPECT_TRUE(comes_true([&] { // it may go on meanwhile
    return front.placed()->epoch() == status_of(front)->changes + 1;
  }));
  auto rows = rows_of(front);
  expect_equal(ask_all(front, requests), expected);
  auto after = balance_since(rows, front);
  RecordProperty("balance_before", std::to_string(before));
  RecordProperty("balance_after", std::to_string(after));
  EXPECT_GT(after, before + 0.1) << before << " -> " << after;
  EXPECT_GT(after, 0.8);
  EXPECT_TRUE(comes_true(
    [&] { return front.stats().experts_moved == status_of(front)->moves; }));
}

/// By loads of a file, before any request.
TEST(BalancedCompany, BeginsByStoredLoads) {
  moving_company all;
  auto settings = every(60s);
  auto& loads
    = settings->first_loads.emplace(balance::load_table{32, {1, 2, 3, 4}, {}});
  std::vector<double> row(32, 100);
  for (size_t e = 0; e < 8; ++e)
    row[e] = 1'000;
  loads.loads.assign(4, row);
  ASSERT_EQ(all.start(with_replicas(), nano_model(), settings), "");
  auto& front = all.front();
  ASSERT_TRUE(comes_true([&] {
    auto x = status_of(front);
    return x && x->changes > 0;
  }));
  auto requests = some_requests(2);
  expect_equal(ask_all(front, requests),
               ask_plain(nano_model(), precision::fp8, requests));
  EXPECT_LT(status_of(front)->balance, 0.7);
  EXPECT_GT(status_of(front)->planned, 0.9);
}

/// All experts twice: the node that dies is somebody's source, target or
/// neither, and nobody who asks sees it.
TEST(BalancedCompany, OutlivesWhoDiesWhileExpertsMove) {
  tests::scratch_dir scratch;
  auto model = skewed_model(scratch.path() / "model");
  auto cluster = moving_company::four_processes(6);
  cluster.units[0].num_redundant_experts = 32;
  auto requests = some_requests(6);
  auto expected = ask_plain(model, precision::fp8, requests);
  moving_company all;
  ASSERT_EQ(all.start(cluster, model, every(500ms)), "");
  auto& front = all.front();
  for (int round = 0; round < 2; ++round) {
    auto begun = front.stats().changes_begun;
    listener ears{requests.size()};
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_TRUE(front.submit(requests[i], ears.handler(i)));
    ears.wait_for_tokens(10);
    if (round == 0) {
      EXPECT_TRUE(comes_true([&] {
        return front.stats().changes_begun > begun || ears.num_finished() > 5;
      }));
    }
    all.node(3).kill(SIGKILL);
    expect_equal(ears.wait(), expected);
    all.begin_again(3);
    expect_equal(ask_all(front, requests), expected);
  }
  EXPECT_EQ(front.stats().requests_failed, 0u);
  EXPECT_EQ(front.placed()->num_waiting(), 0u);
}

namespace {

/// Puts everything on every worker.
class greedy_policy final : public balance::expert_policy {
public:
  balance::layer_plan plan(const balance::layer_state& x) override {
    auto out = balance::layer_plan{{}, *x.present};
    for (auto& e : out.layout.experts)
      e = 0;
    ++asked;
    return out;
  }

  std::atomic<uint32_t> asked{0};
};

} // namespace

TEST(BalancedCompany, APolicyThatIsWrongIsRefusedAndTheBuiltInOneActs) {
  tests::scratch_dir scratch;
  auto model = skewed_model(scratch.path() / "model");
  auto settings = every(1s);
  auto policy = std::make_shared<greedy_policy>();
  settings->policy = policy;
  moving_company all;
  ASSERT_EQ(all.start(with_replicas(), model, settings), "");
  auto requests = some_requests(6);
  auto expected = ask_plain(model, precision::fp8, requests);
  for (int round = 0; round < 40; ++round) {
    expect_equal(ask_all(all.front(), requests), expected);
    auto x = status_of(all.front());
    if (x && x->changes > 0)
      break;
  }
  EXPECT_GT(status_of(all.front())->changes, 0u);
  EXPECT_GT(policy->asked, 0u);
}

} // namespace troupe
