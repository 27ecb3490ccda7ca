/// Steps whose rows weigh more than any frame: a made model of DeepSeek-V3's
/// width answers over the network as it does in one process.

#include "tests/cluster/child_process.hpp"
#include "tests/cluster/company_fixture.hpp"
#include "tests/cluster/program.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

/// V3's hidden size and experts a token, two thin layers.
void make_wide_model(const tests::scratch_dir& dir) {
  auto config
    = nlohmann::json::parse(tests::content_of(nano_model() / "config.json"));
  config.update({{"hidden_size", 7168},
                 {"num_hidden_layers", 2},
                 {"first_k_dense_replace", 1},
                 {"intermediate_size", 128},
                 {"moe_intermediate_size", 128},
                 {"n_routed_experts", 16},
                 {"n_group", 1},
                 {"topk_group", 1},
                 {"num_experts_per_tok", 8},
                 {"num_attention_heads", 2},
                 {"num_key_value_heads", 2},
                 {"vocab_size", 512}});
  auto path = dir.path() / "config.json";
  std::ofstream{path} << config.dump();
  auto made = tests::run_troupe(
    {"model", "make", dir.path() / "wide", "--config", path.string()});
  ASSERT_EQ(made.status, 0) << made.errors;
}

topology one_rank(topology cluster) {
  cluster.max_model_len = 2560;
  cluster.limits.max_num_batched_tokens = 2560;
  cluster.limits.num_kv_blocks = 40;
  return cluster;
}

std::vector<answer> ask(topology cluster, const std::string& model,
                        const std::vector<generation_request>& requests) {
  company_options options;
  options.cluster = cluster;
  options.model_dir = model;
  auto made = company::start(options);
  if (!made) {
    ADD_FAILURE() << made.why().message;
    return {};
  }
  auto address = (*made)->address();
  std::vector<child_process> nodes;
  for (size_t n = 1; n < cluster.nodes.size(); ++n)
    nodes.push_back(child_process{
      {"node", "--join", address.host + ":" + std::to_string(address.port),
       "--name", cluster.nodes[n].name, "--threads", "1"}});
  auto ready = (*made)->wait_until_ready(std::chrono::seconds{60});
  EXPECT_TRUE(ready) << ready.why().message;
  auto answers = ask_all(**made, requests);
  (*made).reset(); // before its nodes
  return answers;
}

} // namespace

TEST(LargeFrames, AreCutAndChangeNothing) {
  tests::scratch_dir dir;
  ASSERT_NO_FATAL_FAILURE(make_wide_model(dir));
  // One step of 2,400 rows: 275 MB come back from its 19,200 experts.
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 2400; ++i)
    prompt.push_back(3 + i * 7 % 500);
  std::vector requests{request_for(prompt, 2, 0)};
  auto model = (dir.path() / "wide").string();
  auto want = ask(one_rank(single_process(1, 1)), model, requests);
  expect_equal(ask(one_rank(local(3, 1, 1)), model, requests), want);
}

} // namespace troupe
