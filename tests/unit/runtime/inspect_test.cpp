#include "runtime/checkpoint/inspect.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(Inspect, TellsKindsByTheirNames) {
  auto c = *read_model_config(golden_case("v3-fp8"));
  auto kind = [&](const char* name) { return kind_of(name, c); };
  EXPECT_EQ(kind("model.layers.0.mlp.gate_proj.weight"),
            tensor_kind::dense_mlp);
  EXPECT_EQ(kind("model.layers.1.mlp.gate.weight"), tensor_kind::attention);
  EXPECT_EQ(kind("model.layers.2.mlp.experts.11.up_proj.weight"),
            tensor_kind::routed_experts);
  EXPECT_EQ(kind("model.layers.2.mlp.shared_experts.up_proj.weight"),
            tensor_kind::shared_experts);
  EXPECT_EQ(kind("model.layers.3.mlp.experts.11.up_proj.weight"),
            tensor_kind::mtp);
  EXPECT_EQ(kind("model.embed_tokens.weight"), tensor_kind::embedding);
  EXPECT_EQ(kind("lm_head.weight"), tensor_kind::head);
  EXPECT_EQ(kind("model.norm.weight"), tensor_kind::attention);
}

TEST(Inspect, CountsTheNanoModel) {
  auto c = *read_model_config(nano_dir() / "model");
  auto source = checkpoint::open(nano_dir() / "model");
  ASSERT_TRUE(source);
  auto s = summarize(*source, c);
  auto routed
    = s.kinds[static_cast<size_t>(tensor_kind::routed_experts)].parameters;
  EXPECT_EQ(routed, 4u * 32 * 3 * 256 * 128);
  EXPECT_EQ(s.kinds[static_cast<size_t>(tensor_kind::embedding)].parameters,
            2048u * 256);
  EXPECT_EQ(s.active_parameters,
            s.parameters - routed + routed / 8 - 2048u * 256);
  EXPECT_EQ(s.expert_parallel_sizes,
            (std::vector<uint32_t>{1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(s.kv_bytes_per_token, 5u * (128 + 32) * 2);
}

TEST(Inspect, WritesOneLineForEachFact) {
  auto text = inspect_model(nano_dir() / "model");
  ASSERT_TRUE(text) << text.why().message;
  for (auto part :
       {"DeepseekV3ForCausalLM, FP8 weights", "32 routed, 4 a token",
        "MTP (unused)", "1, 2, 4, 8, 16, 32", "1600 bytes per token",
        "deepseek-r1, thinks unless told not to (tokenizer_config.json)"})
    EXPECT_NE(text->find(part), std::string::npos) << part << "\n" << *text;
}

} // namespace
} // namespace troupe
