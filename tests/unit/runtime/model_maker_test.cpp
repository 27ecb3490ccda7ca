#include "runtime/convert/model_maker.hpp"

#include "runtime/checkpoint/output_file.hpp"
#include "runtime/convert/model_presets.hpp"
#include "runtime/fnv.hpp"
#include "runtime/model/plain_forward.hpp"
#include "runtime/text/chat.hpp"
#include "tests/model_files.hpp"
#include "tests/unit/runtime/checkpoint_values.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace troupe {
namespace {

using nlohmann::json;

class ModelMaker : public testing::Test {
protected:
  /// A shape of a few thousand numbers, with blocks that are not whole.
  static json tiny() {
    auto out = json::parse(*preset_config("micro"));
    out["vocab_size"] = 300;
    out["num_hidden_layers"] = 2;
    out["hidden_size"] = 136;
    out["moe_intermediate_size"] = 40;
    out["intermediate_size"] = 200;
    out["n_routed_experts"] = 8;
    return out;
  }

  std::filesystem::path make(const std::string& name, const json& config,
                             make_options options = {}) {
    options.config_json = config.dump();
    auto made = make_model(dir_ / name, options);
    EXPECT_TRUE(made) << made.why().message;
    return dir_ / name;
  }

  std::string refusal(const json& config, make_options options = {}) {
    options.config_json = config.dump();
    auto made = make_model(dir_ / "refused", options);
    EXPECT_FALSE(made);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "refused"));
    return made ? "" : made.why().message;
  }

  static checkpoint open(const std::filesystem::path& dir) {
    auto out = checkpoint::open(dir);
    EXPECT_TRUE(out) << out.why().message;
    return std::move(*out);
  }

  std::filesystem::path dir_ = scratch_dir();
  std::unique_ptr<kernels::device> dev_ = kernels::make_reference_device(0);
};

} // namespace

// The FNV-1a of the file as another program wrote it from the same formulas
// (see random_weights_test.cpp): header, order and every byte of the weights.
TEST_F(ModelMaker, MicroIsToTheByteWhatElsewhereIsMade) {
  auto dir = make("micro", json::parse(*preset_config("micro")));
  auto file = read_text(dir / "model.safetensors");
  EXPECT_EQ(file.size(), 22855304u);
  EXPECT_EQ(fnv_1a(file), 0xf32f9f38a824e2a7u);
}

TEST_F(ModelMaker, WhatIsMadeAnswersAChat) {
  auto dir = make("tiny", tiny());
  auto source = open(dir);
  plain_options options;
  options.max_model_len = 64;
  auto engine = plain_forward::make(*dev_, source, options);
  ASSERT_TRUE(engine) << engine.why().message;
  auto words = tokenizer::load(dir / "tokenizer.json");
  ASSERT_TRUE(words) << words.why().message;
  auto form = chat_form::load(dir, *words);
  ASSERT_TRUE(form) << form.why().message;
  std::vector<chat_message> messages = {{chat_role::user, "Hello", {}}};
  generation_request request;
  request.prompt = form->render(messages, {}, *words)->ids;
  request.max_tokens = 5;
  request.ignore_eos = true;
  request.want_logits = true;
  auto answer = (*engine)->generate(request);
  ASSERT_TRUE(answer) << answer.why().message;
  EXPECT_EQ(answer->tokens.size(), 5u);
  double sum = 0;
  for (auto x : answer->logits) {
    ASSERT_TRUE(std::isfinite(x));
    sum += x * x;
  }
  auto deviation = std::sqrt(sum / static_cast<double>(answer->logits.size()));
  EXPECT_GT(deviation, 0.5);
  EXPECT_LT(deviation, 8);
}

TEST_F(ModelMaker, ShardsHoldWhatOneFileHolds) {
  auto one = make("one", tiny());
  auto many = make("many", tiny(), {.shard_bytes = 100'000});
  EXPECT_FALSE(std::filesystem::exists(many / "model.safetensors"));
  auto a = open(one), b = open(many);
  ASSERT_EQ(a.names(), b.names());
  for (auto& name : a.names()) {
    auto x = a.find(name), y = b.find(name);
    EXPECT_EQ(x->dtype, y->dtype);
    EXPECT_EQ(x->shape, y->shape);
    EXPECT_EQ(*a.read(*x), *b.read(*y)) << name;
  }
  size_t num_files = 0;
  for (auto& file : std::filesystem::directory_iterator{many})
    if (file.path().extension() == ".safetensors") {
      ++num_files;
      EXPECT_LT(file.file_size(), 120'000u);
    }
  EXPECT_GT(num_files, 5u);
}

TEST_F(ModelMaker, Fp8AndBf16HoldTheSameValues) {
  auto fp8 = make("fp8", tiny(), {.fp8 = true});
  auto bf16 = make("bf16", tiny(), {.fp8 = false});
  EXPECT_TRUE(read_model_config(fp8)->fp8);
  EXPECT_FALSE(read_model_config(bf16)->fp8);
  auto a = open(fp8), b = open(bf16);
  size_t num_scales = 0;
  for (auto& name : a.names()) {
    if (name.ends_with("_scale_inv"))
      ++num_scales;
    else
      EXPECT_EQ(values_of(a, name), values_of(b, name)) << name;
  }
  EXPECT_EQ(num_scales, 2u * 5 + 3 + 8 * 3 + 3);
  EXPECT_EQ(a.names().size(), b.names().size() + num_scales);
}

TEST_F(ModelMaker, MakesEveryKindThatIsRead) {
  for (auto name : {"v3-fp8", "v3-bf16-sharded", "kimi-style", "no-q-lora",
                    "dense-0", "tied", "v2-greedy", "v2-group-limited",
                    "yarn-mscale", "dense-all-but-one", "no-norm-topk"}) {
    auto config = json::parse(read_text(golden_case(name) / "config.json"));
    config["vocab_size"] = 300;
    auto dir = make(name, config);
    auto source = open(dir);
    auto weights = load_attention_weights(source, *dev_, precision::bf16, 16);
    EXPECT_TRUE(weights) << name << ": " << weights.why().message;
    auto read = read_model_config(dir);
    std::vector<std::vector<uint32_t>> experts(read->num_moe_layers(), {0, 1});
    auto shard = load_expert_shard(source, *dev_, precision::bf16, experts);
    EXPECT_TRUE(shard) << name << ": " << shard.why().message;
    auto name_of_mtp = "model.layers." + std::to_string(read->num_hidden_layers)
                       + ".eh_proj.weight";
    EXPECT_EQ(source.find(name_of_mtp) != nullptr,
              read->num_nextn_predict_layers > 0)
      << name;
  }
}

// Both have the layer of MTP, and no tensor that the other has not.
TEST_F(ModelMaker, MtpHasTheTensorsOfATrainedModel) {
  auto trained = open(nano_dir() / "model");
  auto config = json::parse(read_text(nano_dir() / "model/config.json"));
  auto made = open(make("nano", config));
  EXPECT_EQ(made.names(), trained.names());
  for (auto& name : made.names()) {
    EXPECT_EQ(made.find(name)->shape, trained.find(name)->shape) << name;
    EXPECT_EQ(made.find(name)->dtype, trained.find(name)->dtype) << name;
  }
}

TEST_F(ModelMaker, V3MiniHasTheStructureOfV3) {
  auto published = json::parse(
    read_text(source_dir() / "tests/data/published/v3/config.json"));
  auto made = json::parse(*preset_config("v3-mini"));
  for (auto key :
       {"num_hidden_layers", "first_k_dense_replace", "n_routed_experts",
        "n_shared_experts", "num_experts_per_tok", "n_group", "topk_group",
        "num_nextn_predict_layers", "rope_scaling", "max_position_embeddings",
        "scoring_func", "topk_method", "routed_scaling_factor"})
    EXPECT_EQ(made[key], published[key]) << key;
}

TEST_F(ModelMaker, TellsHowMuchIsWritten) {
  uint64_t last = 0, all = 0;
  make_options options;
  options.config_json = tiny().dump();
  auto made = make_model(dir_ / "x", options,
                         [&](uint64_t done, uint64_t total) {
                           EXPECT_GT(done, last);
                           last = done;
                           all = total;
                         });
  ASSERT_TRUE(made);
  EXPECT_EQ(last, all);
  EXPECT_EQ(made->bytes, all);
}

TEST_F(ModelMaker, RefusesInOneSentenceAndLeavesNothing) {
  auto small = tiny();
  small["vocab_size"] = 100;
  EXPECT_EQ(refusal(small).find("vocab_size is 100"), 0u);
  auto odd = tiny();
  odd["architectures"] = {"LlamaForCausalLM"};
  EXPECT_NE(refusal(odd).find("architectures"), std::string::npos);
  EXPECT_NE(refusal(json::array()).find("config.json"), std::string::npos);
  auto many = tiny();
  many["n_routed_experts"] = 4096;
  EXPECT_NE(refusal(many, {.shard_bytes = 1}).find("more than the 10000"),
            std::string::npos);
  auto unknown = preset_config("huge");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.why().message.find("only micro, small, medium and v3-mini"),
            std::string::npos);
}

TEST_F(ModelMaker, DoesNotTouchADirectoryThatHoldsSomething) {
  write_text(dir_ / "mine", "x");
  auto made = make_model(dir_, {.config_json = tiny().dump()});
  ASSERT_FALSE(made);
  EXPECT_NE(made.why().message.find("is not empty"), std::string::npos);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator{dir_}, {}), 1);
  auto inside = make_model(dir_ / "mine", {.config_json = tiny().dump()});
  ASSERT_FALSE(inside);
  EXPECT_EQ(inside.why().code, errc::io);
}

TEST_F(ModelMaker, AFullDiskIsOneSentence) {
  auto text = write_file("/dev/full", "x");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.why().message,
            "/dev/full cannot be written: No space left on device");
  // A disk that is full in the middle of the weights, and with them closed.
  for (size_t size : {100u, 300'000u}) {
    output_file file{"/dev/full"};
    file.write(std::string(size, 'x'));
    EXPECT_FALSE(file.close());
  }
}

} // namespace troupe
