/// A company in which some ranks prefill and others decode has the tokens and
/// logits of one in which everybody does both, bit for bit.

#include "tests/cluster/conversation.hpp"

#include <thread>

namespace troupe {

namespace {

struct shape {
  const char* name;
  uint32_t num_prefill;
  uint32_t num_decode;
  uint32_t lanes;   ///< Micro-batches.
  uint32_t workers; ///< Of each unit, which has one rank.
};

std::ostream& operator<<(std::ostream& out, const shape& x) {
  return out << x.name;
}

topology company_of(const shape& x) {
  auto num_units = x.num_prefill + x.num_decode;
  auto out = single_process(num_units, num_units * x.workers);
  for (uint32_t i = 0; i < num_units; ++i) {
    topology_unit unit;
    unit.name = "unit-" + std::to_string(i);
    unit.role = i < x.num_prefill ? unit_role::prefill : unit_role::decode;
    unit.ranks = {i};
    for (uint32_t w = 0; w < x.workers; ++w)
      unit.workers.push_back(i * x.workers + w);
    out.units.push_back(std::move(unit));
  }
  return out;
}

/// Nodes report a few times a second.
uint64_t num_handed_blocks(const service& all) {
  for (int i = 0; i < 200 && all.stats().handed_blocks == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  return all.stats().handed_blocks;
}

class HandOver : public testing::TestWithParam<shape> {
protected:
  company_options options() {
    company_options out;
    out.cluster = company_of(GetParam());
    out.cluster.max_model_len = 512;
    out.cluster.limits.max_num_batched_tokens = 128;
    out.cluster.limits.max_num_seqs = 16;
    out.cluster.limits.micro_batches = GetParam().lanes;
    out.model_dir = nano_model();
    out.node.num_threads = 2;
    return out;
  }
};

TEST_P(HandOver, ChangesNoBit) {
  static const auto want = ask_plain(nano_model(), precision::fp8,
                                     reference_requests());
  auto all = started(options());
  expect_equal(ask_all(*all, reference_requests()), want); // cold
  expect_equal(ask_all(*all, reference_requests()), want); // warm
  auto stats = all->stats();
  EXPECT_EQ(stats.requests_failed, 0u);
  EXPECT_EQ(stats.requests_moved, 0u);
  EXPECT_EQ(stats.requests_handed_over, 2 * want.size());
  EXPECT_GT(num_handed_blocks(*all), 0u);
}

/// What is said in one turn is where the next one goes on.
TEST_P(HandOver, ChangesNoBitOfAConversation) {
  auto all = started(options());
  conversation x;
  x.turn = request_for(random_prompt(1, 190), 70, 5);
  for (uint32_t i = 0; i < 2; ++i) {
    auto want = ask_plain(nano_model(), precision::fp8, {x.turn});
    auto got = ask_all(*all, {x.turn});
    expect_equal(got, want);
    x.go_on(got[0], 100 + i, 30);
  }
  EXPECT_EQ(all->stats().requests_failed, 0u);
}

TEST_P(HandOver, ChangesNoBitWithoutACacheOfPrefixes) {
  auto requests = reference_requests();
  auto how = options();
  how.cluster.limits.prefix_caching = false;
  auto all = started(std::move(how));
  expect_equal(ask_all(*all, requests),
               ask_plain(nano_model(), precision::fp8, requests));
  EXPECT_EQ(all->stats().requests_handed_over, requests.size());
}

INSTANTIATE_TEST_SUITE_P(
  Everywhere, HandOver,
  testing::Values(shape{"1P1D", 1, 1, 1, 1}, shape{"1P1D_2_lanes", 1, 1, 2, 1},
                  shape{"2P1D", 2, 1, 1, 1}, shape{"2P1D_2_lanes", 2, 1, 2, 1},
                  shape{"1P1D_EP8", 1, 1, 1, 8},
                  shape{"2P1D_EP8_2_lanes", 2, 1, 2, 8}));

} // namespace

} // namespace troupe
