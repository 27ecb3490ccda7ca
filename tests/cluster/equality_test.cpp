/// The promise: the same tokens and the same logits, bit for bit, however the
/// work is spread.

#include "tests/cluster/company_fixture.hpp"
#include "tests/edited_model.hpp"
#include "tests/model_files.hpp"

#include <map>

namespace troupe {

namespace {

struct variant {
  const char* name;
  uint32_t dp = 1;
  uint32_t ep = 1;
  uint32_t threads = 2;
  uint32_t chunk = 512; ///< max_num_batched_tokens
  uint32_t others = 0;  ///< Requests beside the reference ones.
  uint32_t kv_blocks = 512;
  precision activations = precision::fp8;
  uint32_t frame = 4u << 20; ///< max_frame_bytes
  uint32_t lanes = 0;        ///< micro_batches
};

std::ostream& operator<<(std::ostream& out, const variant& x) {
  return out << x.name;
}

class Company : public ::testing::TestWithParam<variant> {
protected:
  static const std::vector<answer>& oracle(precision activations) {
    static std::map<precision, std::vector<answer>> answers;
    auto& x = answers[activations];
    if (x.empty())
      x = ask_plain(nano_model(), activations, reference_requests());
    return x;
  }

  static company_options options_for(const variant& x) {
    company_options out;
    out.cluster = single_process(x.dp, x.ep);
    out.cluster.activations = x.activations;
    out.cluster.max_model_len = 512;
    out.cluster.limits.max_num_batched_tokens = x.chunk;
    out.cluster.limits.max_num_seqs = std::min(x.chunk / std::max(x.lanes, 1u),
                                               64u);
    out.cluster.limits.micro_batches = x.lanes;
    out.cluster.limits.num_kv_blocks = x.kv_blocks;
    out.cluster.limits.max_frame_bytes = x.frame;
    out.model_dir = nano_model();
    out.node.num_threads = x.threads;
    return out;
  }
};

TEST(CompanyEnd, WaitsForWhatItsStreamsCompute) {
  // Large steps, so that much is enqueued when the memory is given back.
  for (uint64_t seed = 0; seed < 4; ++seed) {
    listener ears{8}; // outlives the company, which may still call it
    company_options options;
    options.cluster = single_process(1, 2);
    options.cluster.max_model_len = 512;
    options.model_dir = nano_model();
    auto company = company::start(std::move(options));
    ASSERT_TRUE(company) << company.why().message;
    ASSERT_TRUE((*company)->wait_until_ready(std::chrono::seconds{60}));
    for (uint32_t i = 0; i < 8; ++i)
      ASSERT_TRUE((*company)->submit(
        request_for(random_prompt(10 * seed + i, 400), 100, i),
        ears.handler(i)));
    ears.wait_for_tokens(1 + seed);
  }
}

/// There are blocks for both at first, but not to their ends: see
/// BatcherBlocks.WhatWasPushedOutIsComputedAgainInItsFirstForms.
TEST(CompanyBlocks, WhatIsComputedAgainComesToTheSameBits) {
  std::vector<generation_request> requests
    = {request_for(random_prompt(5, 60), 200, 0),
       request_for(random_prompt(6, 130), 180, 3)};
  company_options options;
  options.cluster = single_process(1, 2);
  options.cluster.max_model_len = 448;
  options.cluster.limits.num_kv_blocks = 7;
  options.model_dir = nano_model();
  auto company = company::start(std::move(options));
  ASSERT_TRUE(company) << company.why().message;
  ASSERT_TRUE((*company)->wait_until_ready(std::chrono::seconds{60}));
  auto got = ask_all(**company, requests);
  expect_equal(got, ask_plain(nano_model(), precision::fp8, requests));
}

/// The first turn is decoded, the next ones are computed cold, in steps of any
/// size and among others.
TEST(CompanyConversation, ComesToTheBitsOfItsFirstTurnInItsSecond) {
  using enum segment_author;
  auto prompt = random_prompt(7, 153);
  auto first = request_for(prompt, 40, 0);
  first.segments = {{150, given}, {3, generated}};
  auto said = ask_plain(nano_model(), precision::fp8, {first}).at(0);
  auto vocab = said.logits.size() / said.tokens.size();
  std::vector<generation_request> again;
  std::vector<answer> expected;
  for (uint32_t n = 1; n < 40; n += 6) {
    auto x = request_for(prompt, 1, 0);
    x.prompt.insert(x.prompt.end(), said.tokens.begin(),
                    said.tokens.begin() + int(n));
    x.segments = {{150, given}, {3 + n, generated}};
    again.push_back(x);
    auto row = said.logits.begin() + long(n * vocab);
    expected.push_back({{said.tokens[n]},
                        {row, row + long(vocab)},
                        finish_reason::length,
                        std::nullopt});
    // And what somebody says then.
    auto more = random_prompt(n, 140);
    x.prompt.insert(x.prompt.end(), more.begin(), more.end());
    x.segments.push_back({140, given});
    again.push_back(x);
    expected.push_back(ask_plain(nano_model(), precision::fp8, {x}).at(0));
  }
  for (uint32_t chunk : {512u, 64u, 7u}) {
    company_options options;
    options.cluster = single_process(2, 2);
    options.cluster.max_model_len = 448;
    options.cluster.limits.max_num_batched_tokens = chunk;
    options.cluster.limits.max_num_seqs = std::min(chunk, 64u);
    options.model_dir = nano_model();
    auto company = company::start(std::move(options));
    ASSERT_TRUE(company) << company.why().message;
    ASSERT_TRUE((*company)->wait_until_ready(std::chrono::seconds{60}));
    expect_equal(ask_all(**company, again), expected);
  }
}

/// Only the layers without experts of a model with both.
TEST(CompanyWithoutExperts, AnswersLikeThePlainPath) {
  edited_model model{golden_case("dense-all-but-one")};
  model.config["num_hidden_layers"] = model.config["first_k_dense_replace"];
  auto dir = model.write(scratch_dir());
  auto request = request_for({1, 2, 3, 250}, 8, 0);
  company_options options;
  options.cluster = single_process(2, 1);
  options.cluster.max_model_len = 64;
  options.model_dir = dir;
  auto company = company::start(options);
  ASSERT_TRUE(company) << company.why().message;
  ASSERT_TRUE((*company)->wait_until_ready(std::chrono::seconds{60}));
  auto plain = ask_plain(dir, precision::fp8, {request}, 0);
  ASSERT_EQ(plain.at(0).tokens.size(), 8u);
  expect_equal(ask_all(**company, {request}), plain);
  options.cluster.nodes[0].workers = {0, 1};
  auto spread = company::start(options);
  ASSERT_FALSE(spread);
  EXPECT_EQ(spread.why().message,
            "there are 2 workers, but no layer of the model has experts");
}

/// A file that changes between two readings cannot make two models of one.
TEST(CompanyStart, TakesAConfigurationThatWasReadBefore) {
  auto dir = scratch_dir();
  for (auto name : {"model.safetensors", "tokenizer.json"})
    std::filesystem::create_symlink(
      std::filesystem::absolute(std::filesystem::path{nano_model()} / name),
      dir / name);
  company_options options;
  options.cluster = single_process(1, 2);
  options.cluster.max_model_len = 512;
  options.model_dir = dir.string();
  EXPECT_FALSE(company::start(options)) << "there is no config.json";
  options.node.config
    = std::make_shared<model_config>(*read_model_config(nano_model()));
  auto company = company::start(std::move(options));
  ASSERT_TRUE(company) << company.why().message;
  auto ready = (*company)->wait_until_ready(std::chrono::seconds{60});
  EXPECT_TRUE(ready) << ready.why().message;
}

TEST_P(Company, AnswersLikeThePlainPathBitForBit) {
  auto x = GetParam();
  auto requests = reference_requests();
  for (uint32_t i = 0; i < x.others; ++i)
    requests.push_back(request_for(random_prompt(100 + i, 3 + i * 5), 10, i));
  auto company = company::start(options_for(x));
  ASSERT_TRUE(company) << company.why().message;
  auto ready = (*company)->wait_until_ready(std::chrono::seconds{60});
  ASSERT_TRUE(ready) << ready.why().message;
  expect_equal(ask_all(**company, requests), oracle(x.activations));
}

INSTANTIATE_TEST_SUITE_P(
  Spread, Company,
  ::testing::Values(
    variant{.name = "Ep1"}, variant{.name = "Ep2", .ep = 2},
    variant{.name = "Ep4Dp2", .dp = 2, .ep = 4},
    variant{.name = "Ep8Dp4", .dp = 4, .ep = 8},
    variant{.name = "Ep32", .ep = 32}, variant{.name = "Ep5Uneven", .ep = 5},
    variant{.name = "OneThread", .ep = 2, .threads = 1},
    variant{.name = "ChunksOf7", .ep = 2, .chunk = 7},
    variant{.name = "ChunksOf64", .dp = 2, .ep = 2, .chunk = 64},
    variant{.name = "Among28Others", .dp = 2, .ep = 8, .others = 28},
    variant{.name = "FewBlocks", .others = 12, .kv_blocks = 9},
    variant{.name = "SmallFrames", .dp = 2, .ep = 4, .frame = 4096},
    variant{.name = "SmallFramesOneWorker", .frame = 5000},
    variant{.name = "SmallFramesAmongOthers",
            .dp = 3,
            .ep = 5,
            .chunk = 100,
            .others = 12,
            .frame = 7777},
    variant{.name = "SmallFramesFp32",
            .ep = 2,
            .activations = precision::fp32,
            .frame = 4096},
    variant{.name = "TwoLanes", .ep = 8, .others = 12, .lanes = 2},
    variant{.name = "ThreeLanes",
            .dp = 2,
            .ep = 2,
            .chunk = 128,
            .others = 20,
            .lanes = 3},
    variant{.name = "FourLanesOf16",
            .ep = 4,
            .chunk = 64,
            .others = 12,
            .kv_blocks = 12,
            .lanes = 4},
    variant{.name = "LanesAndSmallFrames",
            .dp = 2,
            .ep = 5,
            .chunk = 100,
            .others = 12,
            .frame = 5000,
            .lanes = 2},
    variant{.name = "Bf16", .ep = 4, .activations = precision::bf16},
    variant{.name = "Fp32", .ep = 4, .activations = precision::fp32}),
  [](auto& info) { return std::string{info.param.name}; });

} // namespace

} // namespace troupe
