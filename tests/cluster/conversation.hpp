#pragma once

/// Conversations with a company that remembers what was said before.

#include "tests/cluster/company_fixture.hpp"

#include <tuple>

namespace troupe {

struct conversation {
  generation_request turn;

  /// The next turn: what was answered, then `more` tokens from people.
  void go_on(const answer& x, uint32_t seed, uint32_t more) {
    auto& prompt = turn.prompt;
    if (turn.segments.empty())
      turn.segments = {{uint32_t(prompt.size()), segment_author::given}};
    prompt.insert(prompt.end(), x.tokens.begin(), x.tokens.end());
    turn.segments.push_back(
      {uint32_t(x.tokens.size()), segment_author::generated});
    auto said = random_prompt(seed, more);
    prompt.insert(prompt.end(), said.begin(), said.end());
    turn.segments.push_back({more, segment_author::given});
  }
};

/// Micro-batches, workers.
using prefix_setting = std::tuple<uint32_t, uint32_t, precision>;

inline company_options options_for(const prefix_setting& x) {
  auto [lanes, ep, activations] = x;
  company_options out;
  out.cluster = single_process(1, ep);
  out.cluster.activations = activations;
  out.cluster.max_model_len = 512;
  out.cluster.limits.max_num_batched_tokens = 128;
  out.cluster.limits.max_num_seqs = 16;
  out.cluster.limits.micro_batches = lanes;
  out.model_dir = nano_model();
  out.node.num_threads = 2;
  return out;
}

/// One that takes requests.
inline std::unique_ptr<company> started(company_options options) {
  auto made = company::start(std::move(options));
  EXPECT_TRUE(made) << made.why().message;
  EXPECT_TRUE((*made)->wait_until_ready(std::chrono::seconds{60}));
  return std::move(*made);
}

} // namespace troupe
