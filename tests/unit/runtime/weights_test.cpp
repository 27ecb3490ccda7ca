#include "runtime/model/weights.hpp"

#include "tests/edited_model.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace troupe {
namespace {

constexpr auto q_a = "model.layers.0.self_attn.q_a_proj.weight";
constexpr auto expert = "model.layers.1.mlp.experts.3.up_proj.weight";

class Weights : public testing::Test {
protected:
  std::string why(const edited_model& model,
                  precision activations = precision::fp8) {
    auto source = checkpoint::open(model.write(scratch_dir()));
    if (!source)
      return source.why().message;
    auto attention = load_attention_weights(*source, *dev_, activations, 128);
    if (!attention)
      return attention.why().message;
    std::vector<std::vector<uint32_t>> experts(2, {3});
    auto shard = load_expert_shard(*source, *dev_, activations, experts);
    return shard ? "loaded" : shard.why().message;
  }

  edited_model model_{golden_case("v3-fp8")};
  std::unique_ptr<kernels::device> dev_ = kernels::make_reference_device(0);
};

TEST_F(Weights, SayWhichTensorIsMissing) {
  model_.tensors.erase(q_a);
  EXPECT_EQ(why(model_), "tensor " + std::string{q_a} + " is missing");
}

TEST_F(Weights, StopWhenTheyAreToldTo) {
  std::stop_source stop;
  auto source = checkpoint::open(model_.write(scratch_dir()));
  ASSERT_TRUE(source) << source.why().message;
  auto at_once = [&stop](uint64_t, uint64_t) { stop.request_stop(); };
  auto attention = load_attention_weights(*source, *dev_, precision::fp8, 128,
                                          at_once, stop.get_token());
  ASSERT_FALSE(attention);
  EXPECT_EQ(attention.why().code, errc::cancelled);
  std::vector<std::vector<uint32_t>> experts(2, {3});
  auto shard = load_expert_shard(*source, *dev_, precision::fp8, experts, {},
                                 stop.get_token());
  ASSERT_FALSE(shard);
  EXPECT_EQ(shard.why().code, errc::cancelled);
}

TEST_F(Weights, SayWhichScaleIsMissing) {
  model_.tensors.erase(std::string{expert} + "_scale_inv");
  EXPECT_EQ(why(model_),
            "tensor " + std::string{expert} + "_scale_inv is missing");
}

TEST_F(Weights, SayWhichShapeIsWrong) {
  model_.config["q_lora_rank"] = 137;
  EXPECT_EQ(why(model_), "tensor " + std::string{q_a}
                           + " has the shape [136, 144], expected [137, 144]");
}

/// What a tensor of each kind is called, and how it says NaN.
struct nan_case {
  std::string name;
  std::string bytes; ///< Of an element, in place of its last one.
  precision activations = precision::fp8;
};

TEST_F(Weights, NameTheTensorThatHoldsNoNumberWhateverItsKind) {
  std::string f32{"\0\0\xc0\x7f", 4}, bf16 = "\xc0\x7f";
  std::string inf{"\0\0\x80\xff", 4}, bf16_inf{"\x80\x7f", 2};
  std::string layer = "model.layers.1.";
  const nan_case cases[] = {
    {"model.norm.weight", bf16},
    {"model.norm.weight", bf16_inf},
    {layer + "input_layernorm.weight", bf16},
    {layer + "self_attn.kv_a_layernorm.weight", bf16},
    {layer + "mlp.gate.e_score_correction_bias", f32},
    {layer + "mlp.gate.e_score_correction_bias", inf},
    {layer + "mlp.gate.weight", bf16},
    {"model.embed_tokens.weight", bf16},
    {"lm_head.weight", bf16_inf},
    {q_a, "\x7f"},
    {q_a, "\xff"},
    {std::string{q_a} + "_scale_inv", f32},
    {std::string{q_a} + "_scale_inv", inf},
    {layer + "self_attn.kv_b_proj.weight", "\xff"},
    {layer + "self_attn.kv_b_proj.weight", "\xff", precision::fp32},
    {layer + "mlp.shared_experts.up_proj.weight", "\x7f"},
    {expert, "\x7f"},
    {std::string{expert} + "_scale_inv", f32},
  };
  for (auto& x : cases) {
    edited_model model{golden_case("v3-fp8")};
    auto& view = model.tensors.at(x.name);
    ASSERT_EQ(x.bytes.size(), size_of(view.dtype)) << x.name;
    std::vector<std::byte> bytes{view.bytes.begin(), view.bytes.end()};
    std::memcpy(bytes.data() + bytes.size() - x.bytes.size(), x.bytes.data(),
                x.bytes.size());
    auto last = view.num_elements() - 1;
    model.set(x.name, view.dtype, view.shape, std::move(bytes));
    EXPECT_EQ(why(model, x.activations), "tensor " + x.name
                                           + " is not finite at element "
                                           + std::to_string(last));
  }
}

TEST_F(Weights, RefuseScalesThatNoQuantiserWrites) {
  auto name = std::string{q_a} + "_scale_inv";
  auto view = model_.tensors.at(name);
  for (float wrong : {-1.0f, 1e37f}) {
    auto scales = *to_floats(name, view);
    scales.back() = wrong;
    auto bytes = std::as_bytes(std::span{scales});
    model_.set(name, view.dtype, view.shape, {bytes.begin(), bytes.end()});
    EXPECT_EQ(why(model_), "tensor " + name
                             + " is no scale of FP8 codes at element "
                             + std::to_string(scales.size() - 1));
  }
}

TEST_F(Weights, SayThatTheirFileBecameShorterMeanwhile) {
  auto dir = model_.write(scratch_dir());
  auto source = checkpoint::open(dir);
  ASSERT_TRUE(source);
  auto path = dir / "model.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  auto attention = load_attention_weights(*source, *dev_, precision::fp8, 128);
  ASSERT_FALSE(attention);
  EXPECT_EQ(attention.why().message,
            path.string() + " changed while it was read");
}

TEST_F(Weights, RefuseATypeThatNoProductTakes) {
  auto view = model_.tensors.at(q_a);
  model_.tensors.at(q_a).dtype = tensor_type::f8_e5m2;
  EXPECT_EQ(why(model_),
            "tensor " + std::string{q_a} + " must be F8_E4M3 or BF16");
}

TEST_F(Weights, RefuseFp8ThatTheConfigurationDoesNotSpeakOf) {
  model_.config["quantization_config"] = nullptr;
  EXPECT_EQ(why(model_),
            "tensor " + std::string{q_a}
              + " is F8_E4M3 though config.json has no quantization_config");
}

TEST_F(Weights, TakeAMatrixWithoutScalesForBf16) {
  for (auto name : {"model.layers.1.self_attn.o_proj.weight",
                    "model.layers.1.self_attn.kv_b_proj.weight"}) {
    model_.set_bf16(name, *to_floats(name, model_.tensors.at(name)));
    model_.tensors.erase(std::string{name} + "_scale_inv");
  }
  EXPECT_EQ(why(model_), "loaded");
}

TEST_F(Weights, RefuseExpertsOfTwoTypes) {
  model_.set_bf16(expert, *to_floats(expert, model_.tensors.at(expert)));
  EXPECT_EQ(why(model_),
            "tensor model.layers.1.mlp.experts.3.gate_proj.weight must have "
            "the type of up_proj and down_proj");
  for (std::string part : {"gate_proj", "down_proj"}) {
    auto name = "model.layers.1.mlp.experts.3." + part + ".weight";
    model_.set_bf16(name, *to_floats(name, model_.tensors.at(name)));
  }
  EXPECT_EQ(why(model_),
            "tensor model.layers.1.mlp.experts.3.gate_proj.weight cannot take "
            "the rows that this model's experts are fed with; all experts must "
            "have one type");
  EXPECT_EQ(why(model_, precision::bf16), "loaded");
}

TEST_F(Weights, TellHowFarLoadingIs) {
  auto source = checkpoint::open(golden_case("v3-fp8"));
  ASSERT_TRUE(source);
  std::vector<std::pair<uint64_t, uint64_t>> calls;
  auto loaded = load_attention_weights(
    *source, *dev_, precision::fp8, 128,
    [&](uint64_t done, uint64_t total) { calls.emplace_back(done, total); });
  ASSERT_TRUE(loaded);
  ASSERT_GE(calls.size(), 3u);
  for (size_t i = 1; i < calls.size(); ++i) {
    EXPECT_GE(calls[i].first, calls[i - 1].first);
    EXPECT_EQ(calls[i].second, calls[0].second);
  }
  EXPECT_EQ(calls.back().first, calls.back().second);
}

TEST_F(Weights, LeaveOutTheLayersThatOnlyPredictFurther) {
  auto source = checkpoint::open(golden_case("v3-fp8"));
  auto loaded = load_attention_weights(*source, *dev_, precision::fp8, 128);
  ASSERT_TRUE(loaded);
  EXPECT_EQ((*loaded)->layers.size(), 3u);
}

} // namespace
} // namespace troupe
