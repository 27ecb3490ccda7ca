/// The promise in the virtual world, while nodes break: the tokens of the plain
/// path however many steps of a rank overlap, wherever prompts are cut and
/// however ranks and experts are spread.

#include "actors/simulation_batch.hpp"
#include "runtime/sim/oracle.hpp"
#include "tests/cluster/company_fixture.hpp"
#include "tests/model_files.hpp"

using namespace troupe;

namespace {

struct spread {
  uint32_t dp = 1;
  uint32_t ep = 1;
};

std::shared_ptr<kernels::executor> cpu() {
  return kernels::make_cpu_executor({});
}

const std::shared_ptr<shared_model>& model() {
  static auto out = *shared_model::open(nano_model(),
                                        kernels::make_inline_device(0, cpu()));
  return out;
}

/// Prompts of up to 600 tokens, so that a step of 512 rows has to cut one as
/// well; greedy and sampled in turn.
const client_load& load() {
  static auto out = [] {
    load_spec spec;
    spec.requests = 6;
    spec.streams = 6;
    spec.least_prompt = 40;
    spec.most_prompt = 600;
    spec.least_output = 4;
    spec.most_output = 12;
    auto x = make_load(spec, 7, model()->config().vocab_size);
    oracle_options oracle;
    oracle.max_model_len = 640;
    oracle.num_choices = model()->tokens()->num_choices;
    CHECK(ask_plain_path(model()->source(), cpu(), oracle, x));
    return x;
  }();
  return out;
}

simulation_batch company_of(uint32_t lanes, uint32_t chunk, spread x) {
  simulation_batch_options out;
  auto& cluster = out.base.company.cluster;
  cluster = local(3, x.dp, x.ep);
  cluster.max_model_len = 640;
  cluster.limits.micro_batches = lanes;
  cluster.limits.max_num_seqs = 4;
  cluster.limits.max_num_batched_tokens = chunk;
  cluster.limits.num_kv_blocks = 24; // somebody's have to go, sometimes
  cluster.limits.step_timeout_ms = 5'000;
  out.base.company.model = model();
  out.base.what.load = load();
  out.make_compute = cpu;
  out.random_faults = true;
  return simulation_batch{std::move(out)};
}

class OverlapTable : public testing::TestWithParam<uint32_t> {};

TEST_P(OverlapTable, HasTheTokensOfThePlainPathThroughFaults) {
  auto lanes = GetParam();
  uint64_t seed = 1000 * lanes, happened = 0;
  for (uint32_t chunk : {64u, 128u, 512u})
    for (auto x : {spread{1, 1}, spread{1, 8}, spread{2, 1}, spread{2, 8}}) {
      auto company = company_of(lanes, chunk, x);
      ASSERT_FALSE(company.calm_failure())
        << lanes << " lanes, chunks of " << chunk << ", dp " << x.dp << ", ep "
        << x.ep << ", without faults";
      for (int i = 0; i < 2; ++i) {
        ++seed;
        auto out = company.run(seed, company.case_of(seed));
        for (auto& v : out.violations)
          ADD_FAILURE() << to_string(v);
        EXPECT_TRUE(out.holds())
          << "seed " << seed << ", " << lanes << " lanes, chunks of " << chunk
          << ", dp " << x.dp << ", ep " << x.ep;
        for (auto& f : out.faults)
          happened += f.outcome == fault_outcome::happened;
      }
    }
  EXPECT_GT(happened, 12u);
}

INSTANTIATE_TEST_SUITE_P(Lanes, OverlapTable, testing::Values(1u, 2u, 3u, 4u),
                         [](auto& x) {
                           return std::to_string(x.param) + "Lanes";
                         });

} // namespace
