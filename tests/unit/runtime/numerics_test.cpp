#include "runtime/cluster/numerics.hpp"

#include "tests/model_files.hpp"

#include <functional>
#include <map>
#include <set>

namespace troupe {
namespace {

model_config nano_config() {
  auto out = read_model_config(nano_dir() / "model");
  EXPECT_TRUE(out) << out.why().message;
  return *out;
}

std::string settings(const model_config& config,
                     const std::filesystem::path& dir = nano_dir() / "model",
                     precision activations = precision::fp8) {
  auto out = settings_of(dir, config, activations);
  EXPECT_TRUE(out) << out.why().message;
  return *out;
}

TEST(Numerics, AreOthersWithWhateverDecidesATokenInTheConfiguration) {
  const std::function<void(model_config&)> changes[] = {
    [](auto& x) { x.architecture = "DeepseekV2ForCausalLM"; },
    [](auto& x) { ++x.vocab_size; },
    [](auto& x) { ++x.hidden_size; },
    [](auto& x) { ++x.num_hidden_layers; },
    [](auto& x) { ++x.first_k_dense_replace; },
    [](auto& x) { ++x.intermediate_size; },
    [](auto& x) { ++x.moe_intermediate_size; },
    [](auto& x) { ++x.n_routed_experts; },
    [](auto& x) { ++x.n_shared_experts; },
    [](auto& x) { ++x.num_experts_per_tok; },
    [](auto& x) { ++x.n_group; },
    [](auto& x) { ++x.topk_group; },
    [](auto& x) { x.routed_scaling_factor = 2.5000002f; },
    [](auto& x) { x.norm_topk_prob = !x.norm_topk_prob; },
    [](auto& x) { x.scoring_func = kernels::scoring::softmax; },
    [](auto& x) { x.group_scoring = kernels::group_score::best; },
    [](auto& x) { x.has_correction_bias = !x.has_correction_bias; },
    [](auto& x) { ++x.num_attention_heads; },
    [](auto& x) { ++x.q_lora_rank; },
    [](auto& x) { ++x.kv_lora_rank; },
    [](auto& x) { ++x.qk_nope_head_dim; },
    [](auto& x) { ++x.qk_rope_head_dim; },
    [](auto& x) { ++x.v_head_dim; },
    [](auto& x) { x.rms_norm_eps = 1.0000001e-5f; },
    [](auto& x) { x.rope_theta = 10000.000000000002; },
    [](auto& x) { x.tie_word_embeddings = !x.tie_word_embeddings; },
    [](auto& x) { x.fp8 = !x.fp8; },
    [](auto& x) { x.ue8m0 = !x.ue8m0; },
    [](auto& x) { x.eos_token_ids.push_back(17); },
    [](auto& x) { x.eos_token_ids.clear(); },
    [](auto& x) { x.rope_scaling = yarn_scaling{}; },
  };
  std::map<std::string, size_t> seen{{settings(nano_config()), 999}};
  for (size_t i = 0; i < std::size(changes); ++i) {
    auto config = nano_config();
    changes[i](config);
    auto [other, is_new] = seen.emplace(settings(config), i);
    EXPECT_TRUE(is_new) << "change " << i << " is like " << other->second;
  }
}

TEST(Numerics, AreOthersWithWhateverDecidesAPosition) {
  auto config = nano_config();
  config.rope_scaling = yarn_scaling{};
  const std::function<void(yarn_scaling&)> changes[] = {
    [](auto& x) { x.factor = 2; },
    [](auto& x) { x.original_max_position_embeddings = 2048; },
    [](auto& x) { x.beta_fast = 31; },
    [](auto& x) { x.beta_slow = 2; },
    [](auto& x) { x.mscale = 0.5; },
    [](auto& x) { x.mscale_all_dim = 0.5; },
    [](auto& x) { x.attention_factor = 1; },
    [](auto& x) { x.truncate = false; },
  };
  std::set<std::string> seen{settings(config)};
  for (auto& change : changes) {
    auto other = config;
    change(*other.rope_scaling);
    EXPECT_TRUE(seen.insert(settings(other)).second);
  }
}

TEST(Numerics, AreTheSameWhateverDecidesNothing) {
  auto config = nano_config();
  config.eos_token_ids = {5, 3};
  auto before = settings(config);
  config.eos_token_ids = {3, 5};
  ++config.num_nextn_predict_layers;
  ++config.max_position_embeddings;
  config.bos_token_id = 17;
  config.generation.do_sample = !config.generation.do_sample;
  config.generation.temperature = 0.5;
  config.generation.top_p = 0.5;
  config.generation.top_k = 3;
  EXPECT_EQ(settings(config), before);
}

TEST(Numerics, AreOthersWithAnotherTokenizerOrPrecision) {
  auto config = nano_config();
  auto dir = scratch_dir();
  auto without = settings(config, dir);
  EXPECT_NE(without.find("tokenizer.json none\n"), std::string::npos);
  auto text = read_text(nano_dir() / "model" / "tokenizer.json");
  write_text(dir / "tokenizer.json", text);
  auto before = settings(config, dir);
  EXPECT_EQ(before, settings(config));
  text[text.size() / 2] ^= 1;
  write_text(dir / "tokenizer.json", text);
  EXPECT_NE(settings(config, dir), before);
  EXPECT_NE(settings(config, nano_dir() / "model", precision::bf16), before);
  std::filesystem::remove(dir / "tokenizer.json");
  std::filesystem::create_directory(dir / "tokenizer.json");
  EXPECT_EQ(settings_of(dir, config, precision::fp8).why().code, errc::io);
}

TEST(Numerics, SpeakOfEveryTensorOnceInAsManyPartsAsItTakes) {
  for (size_t count :
       {size_t{0}, size_t{1}, max_tensors_in_part, max_tensors_in_part + 1}) {
    digest_table held;
    for (size_t i = 0; i < count; ++i)
      held["tensor " + std::to_string(i)] = {i, ~i};
    auto parts = parts_of(held);
    ASSERT_EQ(parts.size(), count > max_tensors_in_part ? 2u : 1u);
    std::vector<numerics::tensor> said;
    for (auto& part : parts) {
      EXPECT_LE(part.tensors.size(), max_tensors_in_part);
      EXPECT_EQ(part.is_complete, &part == &parts.back());
      said.insert(said.end(), part.tensors.begin(), part.tensors.end());
    }
    std::vector<numerics::tensor> all;
    for (auto& [name, bytes] : held)
      all.push_back({name_hash(name), bytes});
    EXPECT_EQ(said, all);
  }
}

TEST(Numerics, KnowTheOperationsBeforeAnyModel) {
  EXPECT_NE(operations_fingerprint(), 0u) << "0 would mean: not known";
}

} // namespace
} // namespace troupe
