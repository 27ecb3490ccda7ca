#include "tests/unit/actors/simulated_company.hpp"

#include <map>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Runs of a company of two ranks and four workers with a small real model,
/// computed.
class Simulation : public SimulatedCompany {
protected:
  simulation_options options(uint32_t num_requests) {
    auto cluster = local(3, 2, 4);
    cluster.limits.max_num_batched_tokens = 16;
    cluster.limits.num_kv_blocks = 8;
    load_spec spec;
    spec.requests = num_requests;
    spec.least_prompt = 3;
    spec.most_prompt = 24;
    spec.most_output = 8;
    spec.least_output = 2;
    return options_of(std::move(cluster), spec);
  }
};

TEST_F(Simulation, AnswersWithTheTokensOfThePlainPath) {
  auto out = simulate(1, options(8));
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 8u);
}

/// However steps are cut and overlap, and whatever breaks meanwhile.
TEST_F(Simulation, AnswersTheSameInAnyNumberOfLanes) {
  struct spread {
    uint32_t dp = 1;
    uint32_t ep = 1;
  };
  auto base = options(12);
  auto seed = uint64_t{100};
  for (uint32_t lanes = 1; lanes <= 4; ++lanes)
    for (uint32_t rows : {12u, 16u, 64u})
      for (auto x : {spread{1, 1}, spread{1, 8}, spread{2, 1}, spread{2, 8}}) {
        auto all = base;
        auto limits = all.company.cluster.limits;
        all.company.cluster = local(3, x.dp, x.ep);
        all.company.cluster.max_model_len = 128;
        limits.micro_batches = lanes;
        limits.max_num_seqs = 12 / lanes;
        limits.max_num_batched_tokens = rows;
        limits.num_kv_blocks = 16;
        all.company.cluster.limits = limits;
        auto out = simulate(++seed, all);
        EXPECT_TRUE(out.holds())
          << "seed " << seed << ", " << lanes << " lanes of " << rows
          << " rows, dp " << x.dp << ", ep " << x.ep << "\n"
          << words_of(out);
        EXPECT_EQ(out.requests.completed, 12u);
      }
}

TEST_F(Simulation, AnswersTheSameWhicheverReplicaAnswers) {
  uint64_t seed = 200;
  auto experts = model_->config().n_routed_experts;
  for (uint32_t spares : {1u, experts / 2, experts, 3 * experts}) {
    auto all = options(8);
    auto limits = all.company.cluster.limits;
    all.company.cluster = local(4, 2, 4);
    all.company.cluster.max_model_len = 128;
    all.company.cluster.limits = limits;
    auto units = all.company.cluster.all_units();
    units[0].num_redundant_experts = spares;
    all.company.cluster.units = units;
    auto out = simulate(++seed, all);
    EXPECT_TRUE(out.holds()) << spares << " spares\n" << words_of(out);
    EXPECT_EQ(out.requests.completed, 8u);
  }
}

TEST_F(Simulation, GivesOneTraceForOneSeedAndOneAnswerForAll) {
  auto all = options(6);
  auto first = simulate(1, all);
  auto again = simulate(1, all);
  auto other = simulate(2, all);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
  EXPECT_NE(first.trace_hash, other.trace_hash);
  EXPECT_TRUE(other.holds()) << words_of(other);
}

fault of(fault_kind kind, virtual_duration at) {
  fault x;
  x.kind = kind;
  x.node = "front";
  x.at = at;
  x.must_happen = false;
  return x;
}

TEST_F(Simulation, WhoeverIsKilledComesBackAndNobodyIsLost) {
  auto all = options(12);
  uint64_t seed = 300;
  uint64_t num_waited = 0;
  for (size_t node : {1, 2})
    for (auto at : {0ms, 5ms, 20ms, 60ms})
      for (auto away : {1ms, 300ms, 3000ms}) {
        auto x = of(fault_kind::kill, at);
        x.node = all.company.cluster.nodes[node].name;
        x.lasts = away;
        x.must_happen = true;
        all.what.faults = {x};
        auto out = simulate(++seed, all);
        SCOPED_TRACE("seed " + std::to_string(seed) + ", " + x.node);
        EXPECT_TRUE(out.holds()) << words_of(out);
        EXPECT_TRUE(out.reached.has(sometimes::node_came_back));
        EXPECT_EQ(out.requests.failed, 0u);
        num_waited += out.reached.has(sometimes::request_waited);
      }
  EXPECT_GT(num_waited, 0u);
}

TEST_F(Simulation, BothMayBeKilledAndOneAgainOnItsWayBack) {
  auto all = options(12);
  uint64_t num_again = 0;
  for (uint64_t seed = 400; seed < 416; ++seed) {
    auto ranks = of(fault_kind::kill, 10ms);
    ranks.node = all.company.cluster.nodes[1].name;
    ranks.lasts = 200ms;
    auto workers = of(fault_kind::kill, std::chrono::milliseconds{seed - 395});
    workers.node = all.company.cluster.nodes[2].name;
    workers.lasts = 202ms;
    auto again = ranks;
    again.at = std::chrono::milliseconds{211 + (seed - 400) / 4};
    all.what.faults = {ranks, workers, again};
    auto out = simulate(seed, all);
    EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
    ASSERT_EQ(out.faults.size(), 3u);
    num_again += out.faults[2].outcome == fault_outcome::happened;
  }
  EXPECT_GT(num_again, 0u) << "it was there to be killed again";
}

TEST_F(Simulation, WantsTheSameLogitsWhateverOthersAreAsked) {
  auto all = options(6);
  auto some = all.what.load;
  some.requests.erase(some.requests.begin(), some.requests.begin() + 3);
  oracle_options oracle;
  oracle.max_model_len = 128;
  ASSERT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, some));
  size_t num_wanted = 0;
  for (size_t i = 0; i < 6; ++i) {
    auto& x = all.what.load.requests[i].request;
    num_wanted += x.want_logits;
    if (i >= 3) {
      EXPECT_EQ(some.requests[i - 3].request.want_logits, x.want_logits) << i;
    }
  }
  EXPECT_GT(num_wanted, 0u);
  EXPECT_LT(num_wanted, 6u);
}

TEST_F(Simulation, ExcusesNothingForAFaultThatHasNotHit) {
  auto all = options(2);
  auto x = of(fault_kind::alloc_fail, 1ms);
  x.nth = 1; // all memory is claimed by then
  auto y = of(fault_kind::device_fail, 1ms);
  y.nth = 1'000'000;
  all.what.faults = {x, y};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  for (auto& fault : out.faults)
    EXPECT_EQ(fault.outcome, fault_outcome::no_effect) << fault.what;
  EXPECT_EQ(out.requests.completed, 2u);
}

TEST_F(Simulation, FindsNoMemoryAndStartsOnceThatIsOver) {
  auto all = options(2);
  all.break_the_start = true;
  auto x = of(fault_kind::alloc_fail, 0ms);
  x.node = all.company.cluster.nodes.back().name;
  x.must_happen = true;
  all.what.faults = {x};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_TRUE(out.reached.has(sometimes::allocation_failed));
  EXPECT_EQ(out.faults[0].outcome, fault_outcome::happened);
}

TEST_F(Simulation, TellsFailuresOfADeviceApart) {
  auto all = options(2);
  auto x = of(fault_kind::device_fail, 0ms);
  x.node = all.company.cluster.nodes.back().name;
  auto y = x;
  y.nth = 1'000'000;
  all.what.faults = {x, y};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.faults[0].outcome, fault_outcome::happened);
  EXPECT_EQ(out.faults[1].outcome, fault_outcome::no_effect);
}

TEST_F(Simulation, CountsForAClientWhatItWasSlowForThisTime) {
  auto all = options(1);
  auto x = of(fault_kind::client_slow, 0ms);
  x.request = 0;
  x.pace = 1ms;
  x.lasts = 1s;
  auto y = x;
  y.at = 2s; // it has gone by then
  all.what.faults = {x, y};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.faults[0].outcome, fault_outcome::happened);
  EXPECT_EQ(out.faults[1].outcome, fault_outcome::no_effect);
}

TEST_F(Simulation, KeepsAClientSlowUntilTheLastOfItsFaultsIsOver) {
  auto all = options(1);
  auto& request = all.what.load.requests[0];
  auto x = of(fault_kind::client_slow, 0ms);
  x.request = 0;
  x.pace = 1s;
  x.lasts = 1us; // over before the first token
  auto y = x;
  y.pace = 2s;
  y.lasts = 100s;
  all.what.faults = {x, y};
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_GE(out.length, 2s * request.expected->tokens.size());
}

TEST_F(Simulation, TracesNoFaultThatCannotBegin) {
  auto all = options(1);
  auto x = of(fault_kind::client_vanish, 2s); // nobody is there by then
  x.request = 0;
  all.what.faults = {x};
  auto out = simulate(1, all);
  EXPECT_EQ(out.faults[0].outcome, fault_outcome::impossible);
  EXPECT_EQ(out.events[size_t(trace_kind::fault_began)], 0u);
}

TEST_F(Simulation, HoldsNothingBackThatIsNotSent) {
  auto all = options(4);
  auto x = of(fault_kind::cut, 0ms);
  x.peer = all.company.cluster.nodes.back().name;
  x.lasts = 500ms;
  x.frames = frame_filter::heartbeat;
  all.what.faults = {x};
  auto out = simulate(1, all);
  EXPECT_EQ(out.faults[0].outcome, fault_outcome::happened) << words_of(out);
  EXPECT_FALSE(out.reached.has(sometimes::retransmitted));
}

TEST_F(Simulation, EndsWhereTimeStandsStill) {
  auto all = options(1);
  all.most_at_once = 2; // as if that many never came to an end
  auto out = simulate(1, all);
  ASSERT_EQ(out.num_violations, 1u) << words_of(out);
  EXPECT_EQ(out.violations[0].what,
            "time stands still, and something happens again and again");
}

TEST_F(Simulation, CountsWhatHappensWhileThereIsSomethingToDisturb) {
  auto out = simulate(1, options(2));
  auto messages = size_t(trace_kind::message_run);
  EXPECT_GT(out.events_before[messages], 0u);
  EXPECT_GT(out.events_in_trouble[messages], out.events_before[messages]);
  EXPECT_GT(out.events[messages], out.events_in_trouble[messages]);
}

TEST_F(Simulation, HearsWhoOwnsARequest) {
  auto all = options(4);
  world in{1};
  virtual_company company{in, all.company};
  std::map<request_id, std::pair<rank_id, uint32_t>> owners;
  company.observe_owners([&](auto request, auto rank, auto term) {
    owners[request] = {rank, term};
  });
  company.start_all();
  while (!company.is_serving())
    ASSERT_TRUE(in.step());
  for (auto& x : all.what.load.requests)
    ASSERT_TRUE(company.front()->submit(x.request, [](auto&) {}));
  in.run_for(1ms);
  EXPECT_EQ(owners.size(), 4u);
  for (auto& [request, owner] : owners)
    EXPECT_EQ(owner.second, 1u);
}

TEST_F(Simulation, RefusesWhatComesWhenItIsOver) {
  auto all = options(1);
  EXPECT_TRUE(check_times(all));
  all.what.faults = {of(fault_kind::kill, 601s)};
  auto late = check_times(all);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.why().message,
            "the fault \"kill front\" comes later than 600s, which is how "
            "long a run waits for it");
  all.what.faults.clear();
  all.what.load.requests[0].arrival = 1801s;
  EXPECT_FALSE(check_times(all));
}

/// One of these in a company of its own, with everything computed.
simulation_batch batch_of(simulation_options base) {
  simulation_batch_options out;
  out.base = std::move(base);
  out.make_compute = cpu;
  return simulation_batch{std::move(out)};
}

TEST_F(Simulation, ASmallerCaseFailsForTheSameReason) {
  auto all = options(2);
  for (auto kind : {fault_kind::kill, fault_kind::pause}) {
    auto x = of(kind, 0ms);
    x.trigger = fault_trigger::on;
    x.nth_event = 1'000'000;
    x.lasts = form_of(kind).lasts ? 1ms : 0ms;
    x.must_happen = true;
    all.what.faults.push_back(x);
  }
  auto batch = batch_of(all);
  auto failed = batch.run(1, batch.case_of(1));
  ASSERT_FALSE(failed.holds());
  auto smaller = batch.shrink(failed, 20);
  ASSERT_EQ(smaller.faults.size(), 1u);
  EXPECT_EQ(smaller.faults[0].kind, fault_kind::kill) << "as was said of it";
}

TEST_F(Simulation, ABatchSaysThatItFailsWithoutFaults) {
  simulation_batch_options out;
  out.base = options(1);
  out.make_compute = cpu;
  out.random_faults = true;
  EXPECT_FALSE(simulation_batch{out}.calm_failure());
  out.base.most_at_once = 2;
  EXPECT_TRUE(simulation_batch{out}.calm_failure());
}

TEST_F(Simulation, AFailedCheckNamesTheSeed) {
  auto batch = batch_of(options(1));
  EXPECT_DEATH(batch.run(7, batch.case_of(7), [](auto&) { CHECK(false); }),
               "CHECK\\(false\\) failed in seed 7");
}

} // namespace
