#include "actors/simulation.hpp"
#include "runtime/sim/oracle.hpp"
#include "tests/model_files.hpp"

using namespace troupe;

namespace {

std::shared_ptr<kernels::executor> cpu() {
  return kernels::make_cpu_executor({});
}

/// Runs of a company of two ranks and four workers with a small real model,
/// computed.
class Simulation : public testing::Test {
protected:
  static std::shared_ptr<shared_model> model() {
    return *shared_model::open(golden_case("v3-fp8"),
                               kernels::make_inline_device(0, cpu()));
  }

  simulation_options options(uint32_t num_requests) {
    simulation_options out;
    auto& cluster = out.company.cluster = local(3, 2, 4);
    cluster.max_model_len = 128;
    cluster.limits.max_num_seqs = 4;
    cluster.limits.max_num_batched_tokens = 16;
    cluster.limits.num_kv_blocks = 8;
    cluster.limits.step_timeout_ms = 5'000;
    out.company.model = model_;
    out.company.compute = cpu();

    load_spec spec;
    spec.requests = num_requests;
    spec.least_prompt = 3;
    spec.most_prompt = 24;
    spec.most_output = 8;
    spec.least_output = 2;
    out.what.load = make_load(spec, 1, model_->config().vocab_size);
    oracle_options oracle;
    oracle.max_model_len = cluster.max_model_len;
    EXPECT_TRUE(ask_plain_path(model_->source(), cpu(), oracle, out.what.load));
    return out;
  }

  static std::string words_of(const simulation_result& x) {
    std::string out;
    for (auto& v : x.violations)
      out += to_string(v) + "\n";
    for (auto& f : x.faults)
      out += f.what + ": " + std::string{to_string(f.outcome)} + " "
             + f.evidence + f.why + "\n";
    for (auto& e : x.last)
      out += to_string(e) + "\n";
    return out;
  }

  std::shared_ptr<shared_model> model_ = model();
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

TEST_F(Simulation, GivesOneTraceForOneSeedAndOneAnswerForAll) {
  auto all = options(6);
  auto first = simulate(1, all);
  auto again = simulate(1, all);
  auto other = simulate(2, all);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
  EXPECT_NE(first.trace_hash, other.trace_hash);
  EXPECT_TRUE(other.holds()) << words_of(other);
}

} // namespace
