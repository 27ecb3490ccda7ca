/// Every key of config.json and generation_config.json is used, known to
/// change nothing, or refused by its name.

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/rope.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <functional>
#include <numbers>

#include <sys/stat.h>

namespace troupe {
namespace {

using nlohmann::json;

json config_of(const std::string& name) {
  return json::parse(read_text(golden_case(name) / "config.json"));
}

std::filesystem::path published(const std::string& name) {
  return source_dir() / "tests/data/published" / name;
}

result<model_config> read(const json& config) {
  return parse_model_config("config.json", config.dump());
}

std::string why(const json& config) {
  auto out = read(config);
  return out ? "accepted" : out.why().message;
}

std::string generation_why(const json& x) {
  auto out = parse_generation_config(x.dump(), 256);
  return out ? "accepted" : out.why().message;
}

/// As transformers 5 writes what `config` says.
json renewed(json config) {
  auto words = config["rope_scaling"].is_null() ? json{{"type", "default"}}
                                                : config["rope_scaling"];
  words["rope_type"] = words["type"];
  words["rope_theta"] = config["rope_theta"];
  config["rope_parameters"] = words;
  config.erase("rope_scaling");
  config.erase("rope_theta");
  config["dtype"] = config["torch_dtype"];
  config.erase("torch_dtype");
  config["rope_interleave"] = true;
  config["head_dim"] = config["qk_rope_head_dim"];
  config["qk_head_dim"] = config["qk_rope_head_dim"].get<int>()
                          + config["qk_nope_head_dim"].get<int>();
  return config;
}

const json odd_values[] = {true,
                           false,
                           -1,
                           0,
                           1u,
                           1.5,
                           1e300,
                           -1e300,
                           "",
                           "x",
                           json::array(),
                           json::object(),
                           json::array({1, "x"}),
                           4294967296u,
                           18446744073709551615u};

std::vector<std::string> keys_of(const json& file, const char* name) {
  std::vector<std::string> out;
  if (file.contains(name))
    for (auto& [key, value] : file[name].items())
      out.push_back(key);
  return out;
}

/// Calls `check` with `file` and a key of its own in each object of it, and
/// with where that is.
void with_unknown_keys(
  const json& file, const json& value,
  const std::function<void(const json&, const std::string&)>& check) {
  std::vector<json::json_pointer> places{json::json_pointer{}};
  for (size_t i = 0; i < places.size(); ++i) {
    auto& x = file[places[i]];
    for (auto& [key, inner] : x.items())
      if (inner.is_object() && key != "auto_map")
        places.push_back(places[i] / key);
  }
  for (auto& place : places) {
    auto changed = file;
    changed[place]["surprise"] = value;
    check(changed, place.to_string());
  }
}

TEST(ConfigKeys, OfPublishedCheckpointsAreAllKnown) {
  for (auto name : {"v2", "v2-lite", "v3", "v3.1", "kimi-k2"}) {
    auto config = read_model_config(published(name));
    EXPECT_TRUE(config) << name << ": " << config.why().message;
    auto text = json::parse(read_text(published(name) / "config.json"));
    EXPECT_EQ(why(renewed(text)), "accepted") << name;
  }
  auto kimi = *read_model_config(published("kimi-k2"));
  EXPECT_EQ(kimi.eos_token_ids, std::vector<int32_t>{163586});
  EXPECT_EQ(kimi.rope_scaling->beta_fast, 1);
  EXPECT_FALSE(kimi.generation.do_sample);
  auto v3 = *read_model_config(published("v3"));
  EXPECT_TRUE(v3.generation.do_sample);
  EXPECT_FLOAT_EQ(v3.generation.temperature, 0.6f);
  EXPECT_FLOAT_EQ(v3.generation.top_p, 0.95f);
}

TEST(ConfigKeys, AreRefusedByNameIfUnknownHoweverDeepTheyStand) {
  for (auto name : {"v3", "v2-lite"}) {
    auto old = json::parse(read_text(published(name) / "config.json"));
    for (auto& base : {old, renewed(old)})
      for (auto& value : odd_values)
        with_unknown_keys(base, value, [](auto& x, auto& place) {
          auto found = why(x);
          EXPECT_NE(found.find("surprise is not known"), found.npos)
            << place << ": " << found;
        });
    with_unknown_keys(old, nullptr, [](auto& x, auto& place) {
      EXPECT_EQ(why(x), "accepted") << place;
    });
  }
  auto deep = json::parse(read_text(published("v3") / "config.json"));
  deep["quantization_config"]["surprise"] = false;
  EXPECT_EQ(why(deep), "config.json: quantization_config: surprise is not "
                       "known, and it might change what is computed");
}

TEST(ConfigKeys, ThatAskForWhatIsNotComputedAreRefusedByName) {
  const json asked = {{"index_topk", 2048},
                      {"index_n_heads", 64},
                      {"index_head_dim", 128},
                      {"use_mla", false},
                      {"attention_bias", true},
                      {"mlp_bias", true},
                      {"rope_interleave", false},
                      {"hidden_act", "gelu"},
                      {"moe_layer_freq", 2},
                      {"sliding_window", 128},
                      {"swiglu_limit", 10.0},
                      {"num_key_value_heads", 1},
                      {"head_dim", 128},
                      {"qk_head_dim", 128},
                      {"num_experts", 3},
                      {"partial_rotary_factor", 0.5},
                      {"final_logit_softcapping", 30.0},
                      {"logit_scale", 0.5},
                      {"repetition_penalty", 1.1},
                      {"temperature", 0.5},
                      {"layer_types", {"sliding_attention"}},
                      {"mlp_layer_types", {"sparse", "sparse", "sparse"}},
                      {"original_max_position_embeddings", 4096},
                      {"text_config", json::object()},
                      {"vision_config", json::object()}};
  for (auto& [key, value] : asked.items()) {
    auto config = config_of("v3-fp8");
    config[key] = value;
    EXPECT_TRUE(why(config).starts_with("config.json: " + key + " "))
      << why(config);
  }
  const json quantized = {{"kv_cache_scheme", {{"type", "float"}}},
                          {"dequantize", true},
                          {"fmt", "e5m2"},
                          {"scale_fmt", "x"},
                          {"activation_scheme", "static"},
                          {"quant_method", "awq"},
                          {"weight_block_size", {64, 64}},
                          {"config_groups", json::object()}};
  for (auto& [key, value] : quantized.items()) {
    auto config = config_of("v3-fp8");
    config["quantization_config"][key] = value;
    auto start = "config.json: quantization_config: " + key + " ";
    EXPECT_TRUE(why(config).starts_with(start)) << why(config);
  }
}

TEST(ConfigKeys, MayHoldTheValueThatMeansNothing) {
  auto config = config_of("v3-fp8");
  config.update({{"use_mla", true},
                 {"mlp_bias", false},
                 {"use_sliding_window", false},
                 {"sliding_window", nullptr},
                 {"partial_rotary_factor", 1.0},
                 {"pruned_heads", json::object()},
                 {"add_cross_attention", false},
                 {"temperature", 1.0},
                 {"top_k", 50},
                 {"repetition_penalty", 1.0},
                 {"num_beams", 1},
                 {"id2label", {{"0", "LABEL_0"}}},
                 {"bad_words_ids", nullptr},
                 {"layer_types", std::vector<std::string>(3, "full_attention")},
                 {"mlp_layer_types", {"dense", "sparse", "sparse"}},
                 {"num_local_experts", 12}});
  config["quantization_config"].update({{"modules_to_not_convert", {"lm_head"}},
                                        {"ignored_layers", nullptr},
                                        {"dequantize", false},
                                        {"scale_fmt", nullptr}});
  EXPECT_EQ(why(config), "accepted");
  auto plain = config_of("no-q-lora");
  plain["q_lora_rank"] = 0;
  EXPECT_EQ(read(plain)->q_lora_rank, 0u);
}

TEST(ConfigKeys, SurviveOddNumbersInNestedObjects) {
  auto base = json::parse(read_text(published("v3.1") / "config.json"));
  base["rope_scaling"].update({{"attention_factor", 1}, {"truncate", true}});
  for (auto& file : {base, renewed(base)})
    for (auto name : {"rope_scaling", "rope_parameters", "quantization_config"})
      for (auto& key : keys_of(file, name))
        for (auto& value : odd_values) {
          auto config = file;
          config[name][key] = value;
          auto out = why(config);
          EXPECT_TRUE(out == "accepted" || out.starts_with("config.json: "))
            << name << " " << key << " = " << value << ": " << out;
          if (auto read_back = read(config)) {
            auto table = rope_table(*read_back, 8);
            for (auto x : table)
              EXPECT_TRUE(std::isfinite(x)) << name << " " << key << value;
          }
        }
}

// -- positions ----------------------------------------------------------------

TEST(RopeKeys, MeanTheSameInBothSpellings) {
  for (auto name :
       {"yarn-mscale", "v2-group-limited", "kimi-style", "v3-fp8"}) {
    auto config = config_of(name);
    auto a = *read(config);
    auto b = *read(renewed(config));
    EXPECT_EQ(a.rope_theta, b.rope_theta) << name;
    EXPECT_EQ(softmax_scale(a), softmax_scale(b)) << name;
    EXPECT_EQ(rope_table(a, 300), rope_table(b, 300)) << name;
    auto both = renewed(config);
    both.update(config);
    EXPECT_EQ(rope_table(*read(both), 300), rope_table(a, 300)) << name;
  }
  auto config = config_of("kimi-style");
  config.erase("rope_theta");
  config["rope_parameters"] = {{"rope_theta", 1e6}};
  EXPECT_EQ(read(config)->rope_theta, 1e6) << "default if it only has a base";
  config.erase("rope_parameters");
  config["rope_scaling"] = {{"rope_theta", 1e5}, {"type", "default"}};
  EXPECT_EQ(read(config)->rope_theta, 1e5);
}

TEST(RopeKeys, AreRefusedIfTheyDisagree) {
  auto config = config_of("yarn-mscale");
  auto both = renewed(config);
  both.update(config);
  auto with = [&](const char* pointer, json value) {
    auto x = both;
    x[json::json_pointer{pointer}] = std::move(value);
    return why(x);
  };
  EXPECT_EQ(with("/rope_theta", 20000),
            "config.json: rope_theta is there twice, with two values");
  EXPECT_EQ(with("/rope_parameters/rope_theta", 20000),
            "config.json: rope_theta is there twice, with two values");
  EXPECT_EQ(with("/rope_scaling/factor", 9),
            "config.json: rope_scaling must be what rope_parameters says");
  EXPECT_EQ(with("/rope_parameters/mscale", 1),
            "config.json: rope_scaling must be what rope_parameters says");
  EXPECT_EQ(with("/rope_scaling", {{"type", "default"}}),
            "config.json: rope_scaling must be what rope_parameters says");
  EXPECT_EQ(with("/rope_parameters/type", "default"),
            "config.json: rope_parameters: type must be what rope_type says");
}

TEST(RopeKeys, AreRefusedByNameIfNobodyComputesThem) {
  auto with = [](const char* key, json value) {
    auto config = renewed(config_of("yarn-mscale"));
    config["rope_parameters"][key] = std::move(value);
    return why(config);
  };
  for (auto key : {"short_factor", "low_freq_factor", "mrope_section"})
    EXPECT_TRUE(with(key, {1}).starts_with(
      "config.json: rope_parameters: " + std::string{key} + " "))
      << with(key, {1});
  EXPECT_EQ(with("rope_type", "longrope").substr(0, 39),
            "config.json: rope_parameters: type must");
  EXPECT_EQ(with("partial_rotary_factor", 0.5),
            "config.json: rope_parameters: partial_rotary_factor must be 1");
  auto config = config_of("yarn-mscale");
  config["rope_scaling"].erase("type");
  EXPECT_EQ(why(config),
            "config.json: rope_scaling: type must be yarn or default");
  config["rope_scaling"]["rope_type"] = "default";
  EXPECT_NE(why(config).find("is not known"), std::string::npos)
    << "a factor that is not used";
}

/// Angles per position, computed as the paper says, with a blend that begins
/// and ends at any dimension.
std::vector<double> blended(const model_config& c) {
  auto& s = *c.rope_scaling;
  double dim = c.qk_rope_head_dim;
  auto edge = [&](double turns) {
    return dim
           * std::log(s.original_max_position_embeddings
                      / (turns * 2 * std::numbers::pi))
           / (2 * std::log(c.rope_theta));
  };
  auto low = std::max(edge(s.beta_fast), 0.0);
  auto high = std::min(edge(s.beta_slow), dim - 1);
  std::vector<double> out;
  for (double i = 0; i < dim / 2; ++i) {
    auto f = std::pow(c.rope_theta, -2 * i / dim);
    auto slow = std::min(std::max((i - low) / (high - low), 0.0), 1.0);
    out.push_back(f * (1 - slow) + f / s.factor * slow);
  }
  return out;
}

TEST(RopeKeys, SayWhereTheBlendEndsAndHowLongVectorsAre) {
  auto config = config_of("yarn-mscale");
  auto before = rope_table(*read(config), 2);
  config["rope_scaling"]["truncate"] = false;
  config["rope_scaling"]["attention_factor"] = 0.5;
  auto c = *read(config);
  auto table = rope_table(c, 2);
  EXPECT_NE(table, before);
  auto row = std::span{table}.subspan(c.qk_rope_head_dim);
  auto angles = blended(c);
  for (size_t i = 0; i < angles.size(); ++i) {
    EXPECT_FLOAT_EQ(row[2 * i], 0.5 * std::cos(angles[i])) << i;
    EXPECT_FLOAT_EQ(row[2 * i + 1], 0.5 * std::sin(angles[i])) << i;
  }
  config["rope_scaling"]["truncate"] = true;
  config["rope_scaling"]["attention_factor"] = nullptr;
  EXPECT_EQ(rope_table(*read(config), 2), before);
}

TEST(Activations, InFp8AreRefusedWhereTheirScalesMustBePowersOfTwo) {
  auto c = *read_model_config(published("v3.1"));
  EXPECT_TRUE(check_activations(c, precision::bf16));
  EXPECT_TRUE(check_activations(c, precision::fp32));
  auto refused = check_activations(c, precision::fp8);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.why().message.find("scale_fmt ue8m0"), std::string::npos);
  EXPECT_TRUE(
    check_activations(*read_model_config(published("v3")), precision::fp8));
}

// -- generation_config.json ---------------------------------------------------

TEST(GenerationKeys, AreUsedHarmlessOrRefusedByName) {
  EXPECT_EQ(generation_why({{"max_new_tokens", 10},
                            {"use_cache", false},
                            {"num_beams", 1},
                            {"repetition_penalty", 1.0},
                            {"suppress_tokens", nullptr},
                            {"begin_suppress_tokens", json::array()},
                            {"forced_eos_token_id", nullptr}}),
            "accepted");
  const std::vector<std::pair<std::string, json>> asked{
    {"repetition_penalty", 0.0},
    {"suppress_tokens", {5}},
    {"begin_suppress_tokens", {5}},
    {"forced_bos_token_id", 3},
    {"bad_words_ids", {{1}}},
    {"no_repeat_ngram_size", 3},
    {"min_p", 1.1},
    {"min_new_tokens", 4},
    {"num_beams", 4},
    {"stop_strings", {"x"}},
    {"watermarking_config", json::object()},
    {"temperature", -1},
    {"temperature", "x"},
    {"top_p", 0},
    {"top_p", 1.5},
    {"top_k", -1},
    {"do_sample", 1},
    {"surprise", false}};
  for (auto& [key, value] : asked)
    EXPECT_TRUE(generation_why({{key, value}})
                  .starts_with("generation_config.json: " + key + " "))
      << key << ": " << generation_why({{key, value}});
}

TEST(GenerationKeys, SurviveOddNumbers) {
  for (auto key : {"bos_token_id", "eos_token_id", "temperature", "top_p",
                   "top_k", "do_sample", "num_beams", "min_p"})
    for (auto& value : odd_values) {
      auto out = generation_why({{key, value}});
      EXPECT_TRUE(out == "accepted"
                  || out.starts_with("generation_config.json: "))
        << key << " = " << value << ": " << out;
    }
}

// -- files --------------------------------------------------------------------

TEST(ConfigFiles, AreRefusedForDepthAndForDuplicateKeys) {
  auto dir = scratch_dir();
  auto deep = "{\"auto_map\":" + std::string(100000, '[')
              + std::string(100000, ']') + "}";
  auto good = read_text(golden_case("v3-fp8") / "config.json");
  write_text(dir / "config.json", deep);
  EXPECT_EQ(read_model_config(dir).why().message,
            "config.json is nested too deeply");
  write_text(dir / "config.json", good);
  write_text(dir / "generation_config.json", deep);
  EXPECT_EQ(read_model_config(dir).why().message,
            "generation_config.json is nested too deeply");
  write_text(dir / "generation_config.json",
             R"({"temperature": 0.5, "temperature": 0.6})");
  EXPECT_EQ(read_model_config(dir).why().message,
            "generation_config.json has the key \"temperature\" twice");
}

TEST(ConfigFiles, ThatAreNoRegularFilesAreRefusedAtOnce) {
  for (std::string name : {"config.json", "generation_config.json"}) {
    auto dir = scratch_dir();
    if (name != "config.json")
      std::filesystem::copy(golden_case("v3-fp8") / "config.json",
                            dir / "config.json");
    ASSERT_EQ(::mkfifo((dir / name).c_str(), 0600), 0);
    EXPECT_EQ(read_model_config(dir).why().message,
              (dir / name).string() + " is no regular file");
    std::filesystem::remove(dir / name);
    std::filesystem::create_directory(dir / name);
    EXPECT_EQ(read_model_config(dir).why().code, errc::io);
    std::filesystem::remove(dir / name);
    std::filesystem::create_symlink("/dev/zero", dir / name);
    EXPECT_EQ(read_model_config(dir).why().code, errc::io);
  }
  auto dir = scratch_dir();
  auto index = dir / "model.safetensors.index.json";
  ASSERT_EQ(::mkfifo(index.c_str(), 0600), 0);
  EXPECT_EQ(checkpoint::open(dir).why().message,
            index.string() + " is no regular file");
}

TEST(ConfigFiles, AreNotReadAgainByWhoKnowsThem) {
  auto dir = scratch_dir();
  auto from = golden_case("dense-0");
  std::filesystem::create_symlink(
    std::filesystem::absolute(from / "model.safetensors"),
    dir / "model.safetensors");
  EXPECT_FALSE(checkpoint::open(dir)->config());
  auto known = std::make_shared<model_config>(*read_model_config(from));
  known->max_position_embeddings = 77;
  auto source = checkpoint::open(dir, known);
  ASSERT_TRUE(source);
  ASSERT_TRUE(source->config());
  EXPECT_EQ(source->config()->max_position_embeddings, 77u);
}

TEST(ConfigFiles, OfShardsSayNothingThatIsNotKnown) {
  auto dir = scratch_dir();
  auto write = [&](const std::string& metadata, const std::string& rest) {
    write_text(dir / "model.safetensors.index.json",
               "{\"metadata\":" + metadata + rest
                 + R"(,"weight_map":{"x":"a.safetensors"}})");
    auto out = checkpoint::open(dir);
    return out ? "accepted" : out.why().message;
  };
  safetensors_writer shard;
  shard.add("x", {1}, std::vector<float>{1});
  ASSERT_TRUE(shard.write(dir / "a.safetensors"));
  EXPECT_EQ(write(R"({"total_size":4,"total_parameters":1})", ""), "accepted");
  EXPECT_EQ(write("null", ""), "accepted");
  EXPECT_EQ(write(R"({"scale":2})", ""),
            "model.safetensors.index.json: metadata: scale is not known, and "
            "it might change what is computed");
  EXPECT_EQ(write("{}", R"(,"layout":"x")"),
            "model.safetensors.index.json: layout is not known, and it might "
            "change what is computed");
  std::string header = R"({"__metadata__":{"format":"pt","tensor_names":"x"},)"
                       R"("x":{"dtype":"U8","shape":[1],)"
                       R"("data_offsets":[0,1]}})";
  write_text(dir / "a.safetensors",
             std::string{static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0}
               + header + "x");
  EXPECT_EQ(write("{}", ""),
            "a.safetensors: tensor __metadata__ has tensor_names, which is not "
            "known, and it might change what is computed");
}

} // namespace
} // namespace troupe
