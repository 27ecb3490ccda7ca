/// Companies in a virtual world whose experts move by themselves, by what rows
/// have chosen, while nodes die and links break.

#include "runtime/cluster/balance_settings.hpp"
#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedBalance : public SimulatedCompany {
protected:
  /// Two ranks and four workers on three nodes and a front, with a small real
  /// model, whose router has its likings; requests come for some seconds.
  simulation_options options(uint32_t num_redundant, uint32_t num_spare) {
    load_spec spec;
    spec.requests = 32;
    spec.rate = 8;
    spec.least_prompt = 12;
    spec.most_prompt = 24;
    spec.most_output = 12;
    spec.least_output = 4;
    auto out = options_of(with_slots(num_redundant, num_spare), spec);
    auto balance = std::make_shared<balance_settings>();
    balance->interval = 300ms;
    balance->half_life = 10;
    balance->payback = std::chrono::minutes{10};
    out.company.balance = balance;
    return out;
  }

  /// Half of all rows are of two experts of each layer.
  balance::load_table skewed_loads() const {
    auto& config = model_->config();
    balance::load_table out{config.n_routed_experts, {}, {}};
    std::vector<double> row(config.n_routed_experts, 1'000);
    row[0] = row[1] = 500.0 * (config.n_routed_experts - 2);
    for (uint32_t l = 0; l < config.num_moe_layers(); ++l) {
      out.layers.push_back(config.first_k_dense_replace + l);
      out.loads.push_back(row);
    }
    return out;
  }
};

TEST_F(SimulatedBalance, MovesExpertsAndChangesNoToken) {
  for (uint32_t redundant : {0, 4}) {
    auto out = simulate(1, options(redundant, 1));
    EXPECT_TRUE(out.holds()) << words_of(out);
    EXPECT_EQ(out.requests.completed, 32u);
    EXPECT_TRUE(out.reached.has(sometimes::experts_balanced)) << redundant;
  }
}

/// What is known of loads is acted on at once, though a node may come later.
TEST_F(SimulatedBalance, DoesNotWaitForWhoMayComeLater) {
  auto experts = model_->config().n_routed_experts;
  auto all = options(experts, 2);
  auto& nodes = all.company.cluster.nodes;
  nodes[1].ranks = {0};
  nodes[3].ranks = {1};
  nodes[3].later = true;
  auto balance = std::make_shared<balance_settings>(*all.company.balance);
  balance->first_loads = skewed_loads();
  balance->interval = std::chrono::minutes{10};
  all.company.balance = balance;
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 32u);
  EXPECT_TRUE(out.reached.has(sometimes::experts_balanced));
}

/// The same company as two units, of a rank and two workers each.
TEST_F(SimulatedBalance, EachUnitMovesItsOwn) {
  auto all = options(0, 1);
  make_two_units(all.company.cluster);
  auto out = simulate(1, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 32u);
  EXPECT_TRUE(out.reached.has(sometimes::experts_balanced));
}

/// Who is to load an expert for a move dies before or after it has: the move is
/// given up, or it is a loss like another. Where all experts have two replicas
/// they keep them, and nobody notices; else there is room for what is lost, and
/// new requests are refused until it is loaded there.
TEST_F(SimulatedBalance, WhoDiesInAMoveTakesNothingWithIt) {
  auto experts = model_->config().n_routed_experts;
  sometimes_tally tally;
  uint64_t seed = 1;
  for (bool has_replicas : {true, false}) {
    auto all = has_replicas ? options(experts + 4, 2) : options(0, experts);
    auto balance = std::make_shared<balance_settings>(*all.company.balance);
    balance->first_loads = skewed_loads(); // they move as soon as it serves
    all.company.balance = balance;
    for (auto when = 20ms; when < 400ms; when += 30ms, ++seed) {
      fault kill;
      kill.kind = fault_kind::kill;
      kill.node = all.company.cluster.nodes[3].name;
      kill.at = when;
      kill.lasts = 500ms;
      all.what.faults = {kill};
      auto out = simulate(seed, all);
      EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
      EXPECT_EQ(out.requests.completed + out.requests.refused, 32u)
        << "seed " << seed;
      EXPECT_LE(out.requests.refused, has_replicas ? 0u : 8u)
        << "seed " << seed;
      tally.add(out.reached);
    }
  }
  EXPECT_GT(tally.count(sometimes::experts_balanced), 0u);
  EXPECT_GT(tally.count(sometimes::change_aborted), 0u);
  EXPECT_GT(tally.count(sometimes::node_came_back), 0u);
}

TEST_F(SimulatedBalance, HoldsThroughFaultsOfAllKinds) {
  sometimes_tally tally;
  auto experts = model_->config().n_routed_experts;
  struct spread {
    uint32_t redundant;
    uint32_t spare;
  };
  uint64_t seed = 1;
  for (auto x : {spread{0, experts}, spread{experts, 2}}) {
    simulation_batch_options options;
    options.base = this->options(x.redundant, x.spare);
    options.make_compute = cpu;
    options.random_faults = true;
    for (auto when : {1500ms, 2600ms}) {
      auto& kill = options.base.what.faults.emplace_back();
      kill.kind = fault_kind::kill;
      kill.node = std::string{any_name};
      kill.at = when;
      kill.lasts = 400ms;
      kill.must_happen = false;
      kill.p = 0.5;
    }
    simulation_batch batch{options};
    for (int i = 0; i < 8; ++i, ++seed) {
      auto out = batch.run(seed, batch.case_of(seed));
      EXPECT_TRUE(out.holds()) << "seed " << seed << "\n" << words_of(out);
      tally.add(out.reached);
    }
  }
  EXPECT_GT(tally.count(sometimes::experts_balanced), 0u);
  EXPECT_GT(tally.count(sometimes::node_came_back), 0u);
}

} // namespace
