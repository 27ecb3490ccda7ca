#include "runtime/checkpoint/config.hpp"

#include "runtime/model/rope.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <random>

namespace troupe {
namespace {

using nlohmann::json;

json base_config(const char* name = "v3-fp8") {
  return json::parse(read_text(golden_case(name) / "config.json"));
}

result<model_config> read(const json& config) {
  auto dir = scratch_dir();
  write_text(dir / "config.json", config.dump());
  return read_model_config(dir);
}

std::string why(const json& config) {
  auto out = read(config);
  return out ? "accepted" : out.why().message;
}

/// Says what is wrong once `field` has the value.
std::string why_with(const char* field, json value) {
  auto config = base_config();
  config[field] = std::move(value);
  return why(config);
}

TEST(ModelConfig, ReadsV3WithFp8) {
  auto c = read_model_config(golden_case("v3-fp8"));
  ASSERT_TRUE(c) << c.why().message;
  EXPECT_EQ(c->architecture, "DeepseekV3ForCausalLM");
  EXPECT_EQ(c->hidden_size, 144u);
  EXPECT_EQ(c->q_lora_rank, 136u);
  EXPECT_EQ(c->n_group, 3u);
  EXPECT_EQ(c->num_moe_layers(), 2u);
  EXPECT_TRUE(c->fp8);
  EXPECT_TRUE(c->has_correction_bias);
  EXPECT_EQ(c->num_nextn_predict_layers, 1u);
  EXPECT_EQ(c->eos_token_ids, std::vector<int32_t>{1});
  EXPECT_FALSE(c->rope_scaling);
  EXPECT_FLOAT_EQ(softmax_scale(*c), 1 / std::sqrt(40.0f));
}

TEST(ModelConfig, ReadsTheVariantsOfTheFamily) {
  EXPECT_EQ(read_model_config(golden_case("no-q-lora"))->q_lora_rank, 0u);
  EXPECT_TRUE(read_model_config(golden_case("tied"))->tie_word_embeddings);
  EXPECT_FALSE(read_model_config(golden_case("no-norm-topk"))->norm_topk_prob);
  auto kimi = *read_model_config(golden_case("kimi-style"));
  EXPECT_EQ(kimi.n_group, 1u);
  EXPECT_EQ(kimi.rope_theta, 50000);
  auto yarn = *read_model_config(golden_case("yarn-mscale"));
  ASSERT_TRUE(yarn.rope_scaling);
  EXPECT_EQ(yarn.rope_scaling->mscale, 0.707);
  EXPECT_EQ(yarn.rope_scaling->beta_fast, 16);
  auto v2 = *read_model_config(golden_case("v2-group-limited"));
  EXPECT_EQ(v2.scoring_func, kernels::scoring::softmax);
  EXPECT_EQ(v2.group_scoring, kernels::group_score::best);
  EXPECT_FALSE(v2.has_correction_bias);
  EXPECT_GT(v2.n_group, 1u);
  auto greedy = base_config("v2-greedy");
  greedy["n_group"] = 4;
  greedy["topk_group"] = 2;
  EXPECT_EQ(read(greedy)->n_group, 1u) << "greedy knows no groups";
}

TEST(ModelConfig, TakesNullAndMissingForNone) {
  auto config = base_config();
  for (auto name : {"n_group", "topk_group", "q_lora_rank", "rope_scaling",
                    "quantization_config", "n_shared_experts"})
    config[name] = nullptr;
  config.erase("num_nextn_predict_layers");
  config.erase("tie_word_embeddings");
  auto c = read(config);
  ASSERT_TRUE(c) << c.why().message;
  EXPECT_EQ(c->n_group, 1u);
  EXPECT_EQ(c->q_lora_rank, 0u);
  EXPECT_EQ(c->n_shared_experts, 0u);
  EXPECT_FALSE(c->fp8);
}

TEST(ModelConfig, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(why_with("hidden_size", 0),
            "config.json: hidden_size must be an integer from 1 to 1048576");
  EXPECT_EQ(why_with("hidden_size", nullptr),
            "config.json: hidden_size must be an integer from 1 to 1048576");
  EXPECT_EQ(why_with("architectures", {"LlamaForCausalLM"}),
            "config.json: architectures must be DeepseekV3ForCausalLM or "
            "DeepseekV2ForCausalLM");
  EXPECT_EQ(why_with("first_k_dense_replace", 4),
            "config.json: first_k_dense_replace must be an integer from 0 to "
            "3");
  EXPECT_EQ(why_with("num_experts_per_tok", 9),
            "config.json: num_experts_per_tok must fit into topk_group groups");
  EXPECT_EQ(why_with("n_group", 5),
            "config.json: n_group must divide n_routed_experts");
  EXPECT_EQ(why_with("qk_rope_head_dim", 15),
            "config.json: qk_rope_head_dim must be even");
  EXPECT_EQ(why_with("scoring_func", "softmax"),
            "config.json: scoring_func must be sigmoid for "
            "DeepseekV3ForCausalLM");
  EXPECT_EQ(why_with("eos_token_id", 256),
            "config.json: eos_token_id must be a token id, or a list of at "
            "most 64 of them");
  EXPECT_EQ(why_with("rope_scaling", {{"type", "linear"}}),
            "config.json: rope_scaling: type must be yarn or default");
  EXPECT_EQ(why_with("rope_scaling", {{"rope_type", "yarn"}}),
            "config.json: rope_scaling: factor must be a number from 1 to "
            "1e+06");
  EXPECT_EQ(why_with("quantization_config", {{"quant_method", "fp8"},
                                             {"weight_block_size", {64, 128}}}),
            "config.json: quantization_config: weight_block_size must be "
            "[128, 128]");
  EXPECT_EQ(why_with("norm_topk_prob", 1),
            "config.json: norm_topk_prob must be true or false");
}

/// Whatever a field holds, reading it ends in a value or a sentence.
TEST(ModelConfig, SurvivesAnyValueInAnyField) {
  const json values[] = {nullptr,
                         true,
                         -1,
                         0,
                         1u,
                         3000000000u,
                         1e300,
                         "x",
                         json::array(),
                         json::object(),
                         18446744073709551615u,
                         json::array({1, "x"})};
  auto base = base_config();
  for (auto& [field, was] : base.items())
    for (auto& value : values) {
      auto out = why_with(field.c_str(), value);
      EXPECT_TRUE(out == "accepted" || out.starts_with("config.json: "))
        << field << " = " << value << ": " << out;
    }
}

TEST(ModelConfig, RefusesTextThatIsNoJson) {
  auto dir = scratch_dir();
  auto good = read_text(golden_case("v3-fp8") / "config.json");
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random{seed};
    auto text = good.substr(0, random() % (good.size() - 2));
    write_text(dir / "config.json", text);
    EXPECT_FALSE(read_model_config(dir)) << "seed " << seed;
  }
  EXPECT_EQ(read_model_config(dir / "none").why().code, errc::not_found);
}

TEST(ModelConfig, LetsGenerationConfigSayTheEndTokens) {
  auto dir = scratch_dir();
  write_text(dir / "config.json", base_config().dump());
  write_text(dir / "generation_config.json", R"({"eos_token_id": [7, 9]})");
  EXPECT_EQ(read_model_config(dir)->eos_token_ids,
            (std::vector<int32_t>{7, 9}));
  write_text(dir / "generation_config.json", "{}");
  EXPECT_EQ(read_model_config(dir)->eos_token_ids, std::vector<int32_t>{1});
  write_text(dir / "generation_config.json", R"({"eos_token_id": -1})");
  EXPECT_EQ(read_model_config(dir).why().message,
            "generation_config.json: eos_token_id must be a token id, or a "
            "list of at most 64 of them");
}

TEST(ModelConfig, TurnsPositionsIntoAngles) {
  auto c = *read_model_config(golden_case("v3-fp8"));
  auto table = rope_table(c, 3);
  ASSERT_EQ(table.size(), 3u * 16);
  EXPECT_EQ(table[0], 1);
  EXPECT_EQ(table[1], 0);
  EXPECT_FLOAT_EQ(table[2 * 16], std::cos(2.0));
  EXPECT_FLOAT_EQ(table[2 * 16 + 1], std::sin(2.0));
  EXPECT_FLOAT_EQ(table[2 * 16 + 3],
                  std::sin(2 * std::pow(10000.0, -2.0 / 16)));
}

TEST(ModelConfig, ScalesScoresByMscaleSquared) {
  auto c = *read_model_config(golden_case("yarn-mscale"));
  auto& s = *c.rope_scaling;
  auto m = 0.1 * s.mscale_all_dim * std::log(s.factor) + 1;
  EXPECT_FLOAT_EQ(softmax_scale(c),
                  m * m
                    / std::sqrt(c.qk_nope_head_dim + c.qk_rope_head_dim + 0.0));
}

TEST(ModelConfig, SaysInWhichRowsExpertsAreFed) {
  auto c = *read_model_config(golden_case("v3-fp8"));
  using kernels::dtype;
  EXPECT_EQ(c.dispatch_layout(precision::fp8).type, dtype::f8_e4m3);
  EXPECT_EQ(c.dispatch_layout(precision::bf16).type, dtype::bf16);
  EXPECT_EQ(c.dispatch_layout(precision::fp32).type, dtype::f32);
  EXPECT_EQ(c.combine_type(precision::fp8), dtype::bf16);
  EXPECT_EQ(c.combine_type(precision::fp32), dtype::f32);
  c.fp8 = false;
  EXPECT_EQ(c.dispatch_layout(precision::fp8).type, dtype::bf16);
  EXPECT_EQ(*parse_precision("bf16"), precision::bf16);
  EXPECT_FALSE(parse_precision("fp16"));
}

} // namespace
} // namespace troupe
