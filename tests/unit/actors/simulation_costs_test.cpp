/// Ranks in a virtual world learn what stages take on their devices, as they do
/// elsewhere, and cut their work by it.

#include "tests/unit/actors/simulated_company.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimulatedCosts : public SimulatedCompany {
protected:
  /// Two ranks and four workers; as many micro-batches as turn out to be best.
  simulation_options options() {
    auto cluster = local(4, 2, 4);
    cluster.limits.max_num_batched_tokens = 48;
    cluster.limits.num_kv_blocks = 16;
    cluster.limits.micro_batches = 0;
    load_spec spec;
    spec.requests = 24;
    spec.least_prompt = 10;
    spec.most_prompt = 90;
    spec.least_output = 10;
    spec.most_output = 30;
    auto out = options_of(std::move(cluster), spec);
    out.company.level = log_level::debug;
    out.company.log = [this](virtual_instant, const std::string&,
                             std::string_view line) {
      if (line.find("a query and a key cost") != std::string_view::npos)
        said.emplace_back(line);
    };
    return out;
  }

  bool has_said(const std::string& rank) const {
    return std::ranges::any_of(
      said, [&](auto& x) { return x.find(rank) != std::string::npos; });
  }

  std::vector<std::string> said;
};

TEST_F(SimulatedCosts, AreLearntFromWhatDevicesTake) {
  auto all = options();
  // Attention is so slow that it is nearly all that a row costs.
  all.company.parts.device.attention_flops = 1e7;
  auto out = simulate(3, all);
  EXPECT_TRUE(out.holds()) << words_of(out);
  EXPECT_EQ(out.requests.completed, 24u);
  EXPECT_TRUE(has_said("rank 0"));
  EXPECT_TRUE(has_said("rank 1"));
  auto again = simulate(3, all);
  EXPECT_EQ(again.trace_hash, out.trace_hash) << "in the same way each time";
}

} // namespace
