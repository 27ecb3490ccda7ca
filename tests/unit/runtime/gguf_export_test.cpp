#include "runtime/convert/gguf_export.hpp"

#include "runtime/convert/model_maker.hpp"
#include "runtime/convert/model_presets.hpp"
#include "runtime/convert/q8_0.hpp"
#include "runtime/text/made_tokenizer.hpp"
#include "tests/edited_model.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"
#include "tests/unit/runtime/checkpoint_values.hpp"
#include "tests/unit/runtime/gguf_reader.hpp"

#include <gtest/gtest.h>

#include <cfloat>

namespace troupe {
namespace {

using nlohmann::json;

using floats = std::vector<float>;

class GgufExport : public testing::Test {
protected:
  std::filesystem::path make(const json& config) {
    auto made = make_model(dir_ / "model", {.config_json = config.dump()});
    EXPECT_TRUE(made) << made.why().message;
    return dir_ / "model";
  }

  /// 33 values of latent beside whole blocks of 32: one row stays BF16.
  static json tiny() {
    auto out = json::parse(*preset_config("micro"));
    out["vocab_size"] = 300;
    out["num_hidden_layers"] = 2;
    out["hidden_size"] = 160;
    out["kv_lora_rank"] = 33;
    out["n_routed_experts"] = 8;
    out["rope_scaling"] = {{"type", "yarn"},
                           {"factor", 40},
                           {"original_max_position_embeddings", 4096},
                           {"mscale", 1},
                           {"mscale_all_dim", 1}};
    return out;
  }

  gguf_reader exported(const std::filesystem::path& model,
                       ggml_type type = ggml_type::bf16) {
    auto source = checkpoint::open(model);
    EXPECT_TRUE(source) << source.why().message;
    auto done = export_gguf(*source, file_, type);
    EXPECT_TRUE(done) << done.why().message;
    return gguf_reader{file_};
  }

  std::string refusal(const std::filesystem::path& model) {
    auto source = checkpoint::open(model);
    EXPECT_TRUE(source);
    auto done = export_gguf(*source, file_, ggml_type::bf16);
    EXPECT_FALSE(done);
    EXPECT_FALSE(std::filesystem::exists(file_));
    return done ? "" : done.why().message;
  }

  std::filesystem::path dir_ = scratch_dir();
  std::filesystem::path file_ = dir_ / "x.gguf";
};

using dims = std::vector<uint64_t>;

/// ggml's half to float, the slow and plain way.
float half(uint16_t bits) {
  auto exponent = bits >> 10 & 31, mantissa = bits & 1023;
  auto x = exponent == 0 ? std::ldexp(float(mantissa), -24)
                         : std::ldexp(float(1024 + mantissa), exponent - 25);
  return bits & 0x8000 ? -x : x;
}

} // namespace

TEST_F(GgufExport, HoldsWhatTheCheckpointHolds) {
  auto model = make(tiny());
  auto file = exported(model);
  auto same = [&](const std::string& to, const std::string& from) {
    EXPECT_EQ(file.values(to), values_of(model, from)) << to;
  };
  same("token_embd.weight", "model.embed_tokens.weight");
  same("output.weight", "lm_head.weight");
  same("output_norm.weight", "model.norm.weight");
  const std::string p = "model.layers.1.";
  const std::pair<const char*, const char*> pairs[]
    = {{"attn_norm.weight", "input_layernorm.weight"},
       {"ffn_norm.weight", "post_attention_layernorm.weight"},
       {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
       {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
       {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
       {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
       {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
       {"attn_output.weight", "self_attn.o_proj.weight"},
       {"ffn_gate_inp.weight", "mlp.gate.weight"},
       {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
       {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
       {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"}};
  for (auto [to, from] : pairs)
    same(std::string{"blk.1."} + to, p + from);
  same("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight");
  auto ends = 3u, attention = 8u + 2, dense = 3u, experts = 2u + 3 + 3;
  EXPECT_EQ(file.tensors.size(), ends + 2 * attention + dense + experts);
  EXPECT_EQ(file.tensors.at("blk.1.attn_norm.weight").type, 0u);
  EXPECT_EQ(file.tensors.at("blk.1.ffn_gate_inp.weight").type, 0u);
  EXPECT_EQ(file.tensors.at("blk.1.attn_q_a.weight").ne, (dims{160, 128}));
}

TEST_F(GgufExport, StacksExpertsAndSplitsKvB) {
  auto model = make(tiny());
  auto file = exported(model);
  auto& down = file.tensors.at("blk.1.ffn_down_exps.weight");
  EXPECT_EQ(down.ne, (dims{128, 160, 8}));
  floats stacked;
  for (int i = 0; i < 8; ++i) {
    auto one = values_of(model, "model.layers.1.mlp.experts."
                                  + std::to_string(i) + ".down_proj.weight");
    stacked.insert(stacked.end(), one.begin(), one.end());
  }
  EXPECT_EQ(file.values("blk.1.ffn_down_exps.weight"), stacked);

  constexpr uint64_t heads = 8, nope = 32, v = 32, latent = 33;
  auto kv = values_of(model, "model.layers.1.self_attn.kv_b_proj.weight");
  EXPECT_EQ(file.tensors.at("blk.1.attn_k_b.weight").ne,
            (dims{nope, latent, heads}));
  EXPECT_EQ(file.tensors.at("blk.1.attn_v_b.weight").ne,
            (dims{latent, v, heads}));
  auto k_b = file.values("blk.1.attn_k_b.weight");
  auto v_b = file.values("blk.1.attn_v_b.weight");
  for (uint64_t h = 0; h < heads; ++h)
    for (uint64_t j = 0; j < latent; ++j) {
      for (uint64_t i = 0; i < nope; ++i)
        ASSERT_EQ(k_b[(h * latent + j) * nope + i],
                  kv[(h * (nope + v) + i) * latent + j]);
      for (uint64_t i = 0; i < v; ++i)
        ASSERT_EQ(v_b[(h * v + i) * latent + j],
                  kv[(h * (nope + v) + nope + i) * latent + j]);
    }
}

TEST_F(GgufExport, SaysWhatKindOfModelItIs) {
  auto file = exported(make(tiny()));
  EXPECT_EQ(file.string("general.architecture"), "deepseek2");
  EXPECT_EQ(file.string("general.name"), "model");
  EXPECT_EQ(file.string("deepseek2.rope.scaling.type"), "yarn");
  const std::map<std::string, uint64_t> numbers
    = {{"general.file_type", 32},
       {"general.quantization_version", 2},
       {"deepseek2.vocab_size", 300},
       {"deepseek2.context_length", 16384},
       {"deepseek2.embedding_length", 160},
       {"deepseek2.block_count", 2},
       {"deepseek2.feed_forward_length", 768},
       {"deepseek2.attention.head_count", 8},
       {"deepseek2.attention.head_count_kv", 1},
       {"deepseek2.rope.dimension_count", 32},
       {"deepseek2.attention.q_lora_rank", 128},
       {"deepseek2.attention.kv_lora_rank", 33},
       {"deepseek2.attention.key_length", 65},
       {"deepseek2.attention.value_length", 33},
       {"deepseek2.attention.key_length_mla", 64},
       {"deepseek2.attention.value_length_mla", 32},
       {"deepseek2.leading_dense_block_count", 1},
       {"deepseek2.expert_count", 8},
       {"deepseek2.expert_used_count", 4},
       {"deepseek2.expert_shared_count", 1},
       {"deepseek2.expert_feed_forward_length", 128},
       {"deepseek2.expert_gating_func", 2},
       {"deepseek2.expert_group_count", 4},
       {"deepseek2.expert_group_used_count", 2},
       {"deepseek2.rope.scaling.original_context_length", 4096},
       {"tokenizer.ggml.bos_token_id", 0},
       {"tokenizer.ggml.eos_token_id", 1},
       {"tokenizer.ggml.padding_token_id", 2}};
  for (auto& [key, value] : numbers)
    EXPECT_EQ(file.number(key), value) << key;
  const std::map<std::string, double> reals
    = {{"deepseek2.attention.layer_norm_rms_epsilon", 1e-6},
       {"deepseek2.rope.freq_base", 10000},
       {"deepseek2.expert_weights_scale", 2.5},
       {"deepseek2.rope.scaling.factor", 40},
       {"deepseek2.rope.scaling.yarn_beta_fast", 32},
       {"deepseek2.rope.scaling.yarn_beta_slow", 1},
       {"deepseek2.rope.scaling.yarn_log_multiplier", 0.1}};
  for (auto& [key, value] : reals)
    EXPECT_FLOAT_EQ(file.real(key), value) << key;
  EXPECT_EQ(std::get<bool>(file.keys.at("deepseek2.expert_weights_norm")),
            true);
}

TEST_F(GgufExport, TakesTheVocabularyAlong) {
  auto file = exported(make(tiny()));
  EXPECT_EQ(file.string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.string("tokenizer.ggml.pre"), "deepseek-v3");
  auto& tokens
    = std::get<std::vector<std::string>>(file.keys.at("tokenizer.ggml.tokens"));
  auto& types
    = std::get<std::vector<int32_t>>(file.keys.at("tokenizer.ggml.token_type"));
  auto& merges
    = std::get<std::vector<std::string>>(file.keys.at("tokenizer.ggml.merges"));
  ASSERT_EQ(tokens.size(), 300u);
  ASSERT_EQ(types.size(), 300u);
  EXPECT_EQ(tokens[1], "<｜end▁of▁sentence｜>");
  EXPECT_EQ(types[1], 3);
  EXPECT_EQ(tokens[3], "<｜User｜>");
  EXPECT_EQ(types[3], 3);
  EXPECT_EQ(tokens[5], "<think>");
  EXPECT_EQ(types[5], 4);
  EXPECT_EQ(tokens[16 + ' '], "\xc4\xa0"); // U+0120
  EXPECT_EQ(types[16 + ' '], 1);
  ASSERT_EQ(merges.size(), 300u - 272);
  EXPECT_EQ(merges[0], "a a");
  EXPECT_EQ(tokens[272], "aa");
  EXPECT_TRUE(std::get<bool>(file.keys.at("tokenizer.ggml.add_bos_token")));
  EXPECT_NE(file.string("tokenizer.chat_template").find("<｜Assistant｜>"),
            std::string::npos);
}

TEST_F(GgufExport, TakesTheChatTemplateThatLiesBesideTheConfiguration) {
  auto model = make(tiny());
  write_text(model / "chat_template.jinja", "{{ bos_token }}");
  EXPECT_EQ(exported(model).string("tokenizer.chat_template"),
            "{{ bos_token }}");
}

TEST_F(GgufExport, QuantisesMatricesWithWholeBlocks) {
  auto model = make(tiny());
  auto file = exported(model, ggml_type::q8_0);
  EXPECT_EQ(file.number("general.file_type"), 7u);
  constexpr uint32_t f32 = 0, q8_0 = 8, bf16 = 30;
  auto type = [&](const char* name) { return file.tensors.at(name).type; };
  for (auto name :
       {"token_embd.weight", "output.weight", "blk.1.attn_k_b.weight",
        "blk.1.attn_q_a.weight", "blk.1.ffn_up_exps.weight",
        "blk.1.ffn_down_shexp.weight", "blk.0.ffn_gate.weight"})
    EXPECT_EQ(type(name), q8_0) << name;
  for (auto name : {"output_norm.weight", "blk.1.attn_kv_a_norm.weight",
                    "blk.1.ffn_gate_inp.weight", "blk.1.exp_probs_b.bias"})
    EXPECT_EQ(type(name), f32) << name;
  EXPECT_EQ(type("blk.1.attn_v_b.weight"), bf16); // rows of 33

  auto exact = values_of(model, "model.layers.1.self_attn.q_b_proj.weight");
  auto found = file.values("blk.1.attn_q_b.weight");
  for (size_t i = 0; i < exact.size(); i += 32) {
    float largest = 0;
    for (size_t j = i; j < i + 32; ++j)
      largest = std::max(largest, std::fabs(exact[j]));
    auto step = largest / 127;
    for (size_t j = i; j < i + 32; ++j) // half a step, and the scale's half
      ASSERT_NEAR(found[j], exact[j], step * (0.5 + 127.0 / 2048)) << j;
  }
}

TEST(Q8_0, IsGgmlsFormula) {
  kernels::test::numbers chance{3};
  std::vector<float> x(32 * 1000);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = chance.normal() * std::ldexp(1.0f, -int(i / 32 % 60));
  std::fill_n(x.begin(), 32, 0.0f);
  std::vector<std::byte> out(34 * 1000);
  quantize_q8_0(x, out.data());
  for (size_t block = 0; block < 1000; ++block) {
    auto values = x.data() + 32 * block;
    float amax = 0;
    for (int j = 0; j < 32; ++j)
      amax = std::max(amax, std::fabs(values[j]));
    float d = amax / 127;
    float id = d ? 1.0f / d : 0.0f;
    uint16_t scale;
    std::memcpy(&scale, out.data() + 34 * block, 2);
    EXPECT_EQ(scale, to_f16(d));
    for (int j = 0; j < 32; ++j)
      ASSERT_EQ(static_cast<int8_t>(out[34 * block + 2 + j]),
                static_cast<int8_t>(std::roundf(values[j] * id)));
  }
  EXPECT_EQ(static_cast<int>(out[0]), 0);
}

TEST(Q8_0, HalvesAreRoundedToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    auto here = half(static_cast<uint16_t>(bits));
    auto next = bits == 0x7bff ? 65536 : half(static_cast<uint16_t>(bits + 1));
    auto middle = (here + next) / 2; // exact
    ASSERT_EQ(to_f16(here), bits);
    ASSERT_EQ(to_f16(-here), bits | 0x8000);
    ASSERT_EQ(to_f16(middle), bits + bits % 2);
    ASSERT_EQ(to_f16(std::nextafterf(middle, 0)), bits);
    ASSERT_EQ(to_f16(std::nextafterf(middle, FLT_MAX)), bits + 1);
  }
}

TEST_F(GgufExport, RoundsWhatBf16CannotHold) {
  edited_model model{make(tiny())};
  const std::string name = "model.layers.0.self_attn.o_proj.weight_scale_inv";
  auto& shape = model.tensors.at(name).shape;
  floats scales(shape[0] * shape[1], 0.0007f);
  auto bytes = std::as_bytes(std::span{scales});
  model.set(name, tensor_type::f32, shape, {bytes.begin(), bytes.end()});
  std::filesystem::create_directory(dir_ / "edited");
  auto dir = model.write(dir_ / "edited");
  auto exact = values_of(dir, "model.layers.0.self_attn.o_proj.weight");
  auto found = exported(dir).values("blk.0.attn_output.weight");
  for (size_t i = 0; i < exact.size(); ++i)
    ASSERT_EQ(found[i], kernels::host::round_to_bf16(exact[i]));
}

TEST_F(GgufExport, ReadsShardsBf16AndOtherKinds) {
  for (auto name :
       {"v3-fp8", "v3-bf16-sharded", "kimi-style", "tied", "no-norm-topk"}) {
    auto config = read_model_config(golden_case(name));
    auto file = exported(golden_case(name));
    EXPECT_EQ(file.string("tokenizer.ggml.model"), "none");
    EXPECT_EQ(file.tensors.contains("output.weight"),
              !config->tie_word_embeddings);
    EXPECT_EQ(std::get<bool>(file.keys.at("deepseek2.expert_weights_norm")),
              config->norm_topk_prob);
    auto exact = values_of(golden_case(name),
                           "model.layers.1.self_attn.o_proj.weight");
    for (auto& x : exact)
      x = kernels::host::round_to_bf16(x);
    EXPECT_EQ(file.values("blk.1.attn_output.weight"), exact);
  }
}

TEST_F(GgufExport, WritesV2WithoutQLoraRankInTheDepthsThatLlamaCppKnows) {
  auto lite = json::parse(read_text(golden_case("v2-greedy") / "config.json"));
  lite["vocab_size"] = 300;
  lite["num_hidden_layers"] = 27;
  auto file = exported(make(lite));
  EXPECT_EQ(file.number("deepseek2.expert_gating_func"), 1u);
  EXPECT_TRUE(file.tensors.contains("blk.26.attn_q.weight"));
  EXPECT_FALSE(file.tensors.contains("blk.26.exp_probs_b.bias"));
  EXPECT_FALSE(file.keys.contains("deepseek2.attention.q_lora_rank"));
}

TEST_F(GgufExport, RefusesInOneSentenceWhatLlamaCppWouldNotRun) {
  for (auto [name, word] : {std::pair{"no-q-lora", "q_lora_rank"},
                            {"v2-greedy", "q_lora_rank"},
                            {"v2-group-limited", "groups"},
                            {"yarn-mscale", "mscale"}}) {
    auto why = refusal(golden_case(name));
    EXPECT_EQ(why.find("llama.cpp cannot run this model: "), 0u) << why;
    EXPECT_NE(why.find(word), std::string::npos) << why;
  }
}

TEST_F(GgufExport, NeverWritesOntoWhatItReads) {
  auto model = make(tiny());
  auto source = checkpoint::open(model);
  ASSERT_TRUE(source);
  auto weights = model / "model.safetensors";
  std::filesystem::create_symlink(weights, dir_ / "link.gguf");
  std::filesystem::create_hard_link(weights, dir_ / "name.gguf");
  std::filesystem::create_hard_link(model / "config.json", dir_ / "c.gguf");
  auto before = read_text(weights);
  for (auto& out :
       {weights, dir_ / "link.gguf", dir_ / "name.gguf", dir_ / "c.gguf",
        model / ".." / model.filename() / "model.safetensors"}) {
    auto done = export_gguf(*source, out, ggml_type::bf16);
    ASSERT_FALSE(done) << out;
    EXPECT_NE(done.why().message.find(", which is read: write to another file"),
              std::string::npos)
      << done.why().message;
    EXPECT_EQ(read_text(weights), before);
  }
}

TEST_F(GgufExport, AFailureInTheMiddleLeavesTheOldFile) {
  auto model = make(tiny());
  auto source = checkpoint::open(model);
  ASSERT_TRUE(source);
  write_text(file_, "old");
  auto before = std::distance(std::filesystem::directory_iterator{dir_}, {});
  auto path = model / "model.safetensors";
  auto failed = export_gguf(*source, file_, ggml_type::bf16,
                            [&](uint64_t done, uint64_t total) {
                              if (done > total / 2)
                                std::filesystem::resize_file(path, 1000);
                            });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.why().message, path.string() + " changed while it was read");
  EXPECT_EQ(read_text(file_), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator{dir_}, {}),
            before);
}

TEST_F(GgufExport, NamesATensorThatHoldsNoNumber) {
  edited_model model{make(tiny())};
  auto name = "model.layers.0.self_attn.o_proj.weight";
  auto view = model.tensors.at(name);
  std::vector<std::byte> bytes{view.bytes.begin(), view.bytes.end()};
  bytes[7] = std::byte{0x7f};
  bytes[6] = std::byte{0xff};
  model.set(name, view.dtype, view.shape, std::move(bytes));
  std::filesystem::create_directory(dir_ / "edited");
  auto why = refusal(model.write(dir_ / "edited"));
  EXPECT_EQ(why.find("tensor " + std::string{name} + " is not finite at"), 0u)
    << why;
}

TEST_F(GgufExport, AFailureLeavesNoFile) {
  edited_model model{make(tiny())};
  model.tensors.erase("model.layers.1.mlp.experts.7.up_proj.weight");
  std::filesystem::create_directory(dir_ / "edited");
  auto why = refusal(model.write(dir_ / "edited"));
  EXPECT_EQ(why,
            "tensor model.layers.1.mlp.experts.7.up_proj.weight is missing");
  auto source = checkpoint::open(dir_ / "model");
  auto full = export_gguf(*source, "/dev/full", ggml_type::bf16);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.why().message,
            "/dev/full cannot be written: No space left on device");
  EXPECT_TRUE(std::filesystem::exists("/dev/full"));
}

} // namespace troupe
