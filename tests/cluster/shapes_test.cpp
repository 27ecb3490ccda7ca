/// The shapes in which DeepSeek serves V3, in its structure but narrow: 144 and
/// 32 devices, each a rank and a worker, with 32 redundant experts.

#include "runtime/convert/model_maker.hpp"
#include "runtime/convert/model_presets.hpp"
#include "runtime/topology_shorthand.hpp"
#include "tests/cluster/company_fixture.hpp"
#include "tests/cluster/program.hpp"
#include "tests/model_files.hpp"

#include <nlohmann/json.hpp>

#include <cstdlib>

namespace troupe {

namespace {

using nlohmann::json;
using tests::run_troupe;

class Shapes : public ::testing::Test {
protected:
  /// Of v3-mini two layers with experts; with TROUPE_LONG_TESTS in the
  /// environment all of it, which takes minutes.
  static void SetUpTestSuite() {
    auto config = json::parse(*preset_config("v3-mini"));
    if (!std::getenv("TROUPE_LONG_TESTS")) {
      config["num_hidden_layers"] = 5;
      config["num_nextn_predict_layers"] = 0;
    }
    model_ = binary_dir() / ("scratch/Shapes-" + std::to_string(getpid()));
    auto made = make_model(model_, {.config_json = config.dump()});
    ASSERT_TRUE(made) << made.why().message;
  }

  static void TearDownTestSuite() {
    std::filesystem::remove_all(model_);
  }

  /// One for each of 144 ranks, and some more.
  static std::vector<generation_request> requests() {
    auto out = reference_requests();
    for (uint32_t i = 0; i < 150; ++i)
      out.push_back(request_for(random_prompt(100 + i, 2 + i % 30), 2, i));
    return out;
  }

  static const std::vector<answer>& oracle() {
    static const auto out = ask_plain(model_, precision::fp8, requests(), 4096);
    return out;
  }

  static topology shape(const std::string& name) {
    auto out = spread(*parse_shorthand(name, "dep1", "dep1"), 1);
    out.units[0].num_redundant_experts = 32;
    out.max_model_len = 256;
    out.limits.max_num_seqs = 16;
    out.limits.max_num_batched_tokens = 64;
    out.limits.num_kv_blocks = 16;
    return out;
  }

  static void answers_like_the_plain_path(const std::string& name) {
    company_options options;
    options.cluster = shape(name);
    options.model_dir = model_;
    auto company = company::start(std::move(options));
    ASSERT_TRUE(company) << company.why().message;
    auto ready = (*company)->wait_until_ready(std::chrono::seconds{120});
    ASSERT_TRUE(ready) << ready.why().message;
    expect_equal(ask_all(**company, requests()), oracle());
  }

  static json ids_of(std::vector<std::string> more) {
    std::vector<std::string> all
      = {"generate",        model_.string(),
         "--token-ids",     "5,900,77,1203,4,88,1500,61",
         "--max-tokens",    "6",
         "--ignore-eos",    "--json",
         "--temperature",   "0",
         "--threads",       "1",
         "--max-num-seqs",  "4",
         "--max-model-len", "64"};
    all.insert(all.end(), more.begin(), more.end());
    auto x = run_troupe(all);
    EXPECT_EQ(x.status, 0) << x.errors;
    return x.status == 0 ? json::parse(x.out).at("token_ids") : json{};
  }

  static inline std::filesystem::path model_;
};

TEST_F(Shapes, Dep144AnswersLikeThePlainPath) {
  answers_like_the_plain_path("dep144");
}

TEST_F(Shapes, Dep32AnswersLikeThePlainPath) {
  answers_like_the_plain_path("dep32");
}

TEST_F(Shapes, FourProcessesGiveTheTokensOfOneWorker) {
  auto alone = ids_of({});
  EXPECT_EQ(alone.size(), 6u);
  for (auto name : {"dep32", "dep144"})
    EXPECT_EQ(ids_of({"--topology", name, "--nodes", "4",
                      "--num-redundant-experts", "32"}),
              alone)
      << name;
}

TEST_F(Shapes, UnitsThatHandOverGiveTheTokensOfOneWorker) {
  auto alone = ids_of({});
  for (auto& more : std::vector<std::vector<std::string>>{
         {"--topology", "1P1D"},
         {"--topology", "2P1D", "--prefill-unit", "dep2", "--nodes", "4"}})
    EXPECT_EQ(ids_of(more), alone);
}

} // namespace

} // namespace troupe
