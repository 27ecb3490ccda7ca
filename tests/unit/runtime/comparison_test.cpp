#include "runtime/verify/comparison.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace troupe {
namespace {

/// The golden values themselves, as if an engine had found them.
engine_prompt perfect(const golden_prompt& g, const model_config& c) {
  engine_prompt out;
  out.logits = g.logits;
  out.hidden = g.hidden;
  out.experts = g.experts;
  out.weights = g.weights;
  out.greedy = g.greedy;
  auto layer = g.tokens.size() * c.hidden_size;
  out.layers.assign(g.hidden.begin() + static_cast<ptrdiff_t>(layer),
                    g.hidden.end() - static_cast<ptrdiff_t>(layer));
  return out;
}

class Comparison : public testing::Test {
protected:
  Comparison() {
    for (auto& g : golden_.prompts)
      engine_.push_back(perfect(g, config_));
  }

  std::vector<std::string> faults(const char* numerics = "fp32") {
    auto bounds = *find_bounds("golden", numerics);
    comparison all{config_, bounds.near};
    for (size_t i = 0; i < engine_.size(); ++i)
      all.add(golden_.prompts[i], engine_[i]);
    return all.judge(bounds).faults;
  }

  model_config config_ = *read_model_config(golden_case("v3-fp8"));
  golden_file golden_
    = *read_golden(golden_case("v3-fp8") / "golden.safetensors", config_);
  std::vector<engine_prompt> engine_;
};

TEST_F(Comparison, KnowsTheBoundsThatCameWithTheData) {
  auto all = nlohmann::json::parse(
    read_text(source_dir() / "tests/data/golden/bounds.json"));
  ASSERT_EQ(all.size(), 6u);
  for (auto& [key, b] : all.items()) {
    auto slash = key.find('/');
    auto mine = find_bounds(key.substr(0, slash), key.substr(slash + 1));
    ASSERT_TRUE(mine) << key;
    EXPECT_EQ(mine->clear.max_abs, b["clear"]["max_abs"]);
    EXPECT_EQ(mine->clear.rel_rms, b["clear"]["rel_rms"]);
    EXPECT_EQ(mine->loose.max_abs, b["loose"]["max_abs"]);
    EXPECT_EQ(mine->loose.rel_rms, b["loose"]["rel_rms"]);
    EXPECT_EQ(mine->other_experts, b["other_experts"]);
    EXPECT_EQ(mine->eps, b["eps"]);
    EXPECT_EQ(mine->weights, b["weights"]);
    EXPECT_EQ(mine->gap, b["gap"]);
    EXPECT_EQ(mine->near, b["near"]);
    EXPECT_EQ(mine->layer_within, b["layer_within"]);
    EXPECT_EQ(mine->layer_share, b["layer_share"]);
    EXPECT_EQ(mine->layer_rms, b["layer_rms"]);
  }
  EXPECT_FALSE(find_bounds("golden", "fp8"));
}

TEST_F(Comparison, FindsNothingWrongWithTheGoldenValues) {
  EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(Comparison, FindsOneWrongLogit) {
  engine_[2].logits[1000] += 0.01f;
  ASSERT_EQ(faults().size(), 1u);
  EXPECT_EQ(
    faults()[0].rfind("logits clear: 168 positions, max abs 1.00e-02", 0), 0u);
  EXPECT_TRUE(faults("bf16").empty());
}

TEST_F(Comparison, FindsWhatIsNotFinite) {
  engine_[1].hidden[7] = NAN;
  auto all = faults("bf16");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], "p1.hidden is not finite");
  EXPECT_EQ(all[1].rfind("hidden 0 clear:", 0), 0u);
}

TEST_F(Comparison, ExcusesOtherExpertsOnlyWhereTheChoiceWasNotClear) {
  auto k = config_.num_experts_per_tok;
  auto place = size_t{20}; // p2, first MoE layer, position 20
  auto& experts = engine_[2].experts;
  for (int32_t id = 0;; ++id) { // an expert that was not chosen
    auto first = experts.begin() + static_cast<ptrdiff_t>(place * k);
    if (std::find(first, first + k, id) == first + k) {
      first[k - 1] = id;
      break;
    }
  }
  golden_.prompts[2].margin[place] = 1e-3f;
  auto all = faults();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0],
            "other experts: p2, MoE layer 0, position 20, margin 1.00e-03");
  golden_.prompts[2].margin[place] = 1e-5f;
  EXPECT_TRUE(faults().empty());
}

TEST_F(Comparison, FindsAnotherTokenWhereTheGapWasWide) {
  engine_[0].greedy[3] += 1;
  ASSERT_EQ(faults().size(), 1u);
  EXPECT_EQ(faults()[0], "p0 greedy: 3 of 24");
  golden_.prompts[0].greedy_gap[3] = 1e-4f;
  EXPECT_TRUE(faults().empty());
}

TEST_F(Comparison, FindsWrongWeightsAndLayers) {
  engine_[1].weights[0] += 0.01f;
  for (auto& x : engine_[2].layers)
    x *= 1.001f;
  auto all = faults();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].rfind("routing weights: max abs", 0), 0u);
  EXPECT_EQ(all[1].rfind("layer by layer:", 0), 0u);
}

TEST_F(Comparison, RefusesAGoldenFileOfAnotherModel) {
  auto other = golden_case("kimi-style") / "golden.safetensors";
  auto out = read_golden(other, config_);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.why().message.rfind("golden tensor p0.", 0), 0u)
    << out.why().message;
}

} // namespace
} // namespace troupe
