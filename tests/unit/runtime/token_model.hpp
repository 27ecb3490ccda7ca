#pragma once

/// A language model for tests of batching: logits are a hash of all tokens so
/// far, which it reads from where earlier steps have left them in the blocks
/// of the cache. So a wrong position, a block given to two sequences or a
/// forgotten row changes the answer.

#include "kernels/device.hpp"
#include "kernels/reference/operations.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/model/kv_pool.hpp"
#include "runtime/sampling.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace troupe {

inline std::unique_ptr<kv_pool> make_token_pool(kernels::device& dev,
                                                uint32_t num_blocks) {
  model_config config;
  config.num_hidden_layers = 1;
  config.kv_lora_rank = 2;
  config.qk_rope_head_dim = 2;
  auto out = kv_pool::make(dev, config, precision::fp32, num_blocks);
  EXPECT_TRUE(out);
  return std::move(*out);
}

class token_model {
public:
  static constexpr uint32_t vocab_size = 16;
  static constexpr uint32_t num_choices = 13;
  static constexpr int32_t eos = 5;

  static std::vector<float> logits_after(std::span<const int32_t> tokens) {
    uint64_t state = tokens.size();
    for (auto token : tokens)
      state = mix(state ^ uint64_t(token));
    std::vector<float> out(vocab_size);
    for (auto& x : out) {
      state = mix(state);
      x = float(state >> 40) / (1 << 22);
    }
    return out;
  }

  /// What a request gets that has everything for itself.
  static generation_event alone(const generation_request& request) {
    generation_event out;
    auto tokens = request.prompt;
    const int32_t ends[] = {eos};
    answer_draws draws{request, num_choices, ends};
    while (out.tokens.size() < request.max_tokens) {
      auto logits = logits_after(tokens);
      auto token = kernels::reference::choose(logits.data(),
                                              draws.after(out.tokens));
      if (draws.is_end(token)) {
        out.finish = finish_reason::stop;
        out.end_token = token;
        add_scores(logits, token, request.num_scores, out.scores);
        return out;
      }
      add_scores(logits, token, request.num_scores, out.scores);
      tokens.push_back(token);
      out.tokens.push_back(token);
    }
    out.finish = finish_reason::length;
    return out;
  }

  /// What a request gets for its prompt.
  static std::vector<token_score>
  prompt_scores(const generation_request& request) {
    std::vector<token_score> out;
    for (size_t i = 1; i < request.prompt.size(); ++i)
      add_scores(logits_after(std::span{request.prompt}.first(i)),
                 request.prompt[i], request.num_prompt_scores, out);
    return out;
  }

  /// Ends a step without a model: all draw token 0, of all logits 0.
  static step_result zeros(const batch& step) {
    step_result out;
    out.num_scores = step.num_scores();
    for (auto& x : step.sequences) {
      for (auto& given : x.scored)
        out.tokens.push_back(given.given);
      if (x.draw)
        out.tokens.push_back(0);
      if (x.want_logits)
        out.logits.emplace_back(vocab_size);
    }
    out.scores.resize(out.tokens.size() * out.num_scores);
    out.score_ids.resize(out.scores.size());
    return out;
  }

  /// Runs a step.
  step_result run(const batch& step) {
    std::set<place> written;
    for (auto& x : step.sequences)
      for (uint32_t i = 0; i < x.tokens.size(); ++i) {
        auto at = place_of(x, x.first_position + i);
        EXPECT_TRUE(written.insert(at).second) << "two rows, one place";
        cache_[at] = x.tokens[i];
      }
    step_result out;
    out.num_scores = step.num_scores();
    for (auto& x : step.sequences) {
      for (auto& given : x.scored) {
        auto row = logits_after(prefix(x, given.row + 1));
        score(row, given, given.given, out);
      }
      if (!x.draw)
        continue;
      auto row = logits_after(prefix(x, uint32_t(x.tokens.size())));
      auto token = kernels::reference::choose(row.data(), *x.draw);
      score(row, *x.draw, token, out);
      if (x.want_logits)
        out.logits.push_back(std::move(row));
    }
    return out;
  }

private:
  static void add_scores(const std::vector<float>& logits, int32_t token,
                         uint32_t count, std::vector<token_score>& to) {
    kernels::draw how{.num_choices = num_choices};
    how.num_scores = count;
    for (auto& x : kernels::reference::scores(logits.data(), how, token))
      to.push_back({x.id, x.score});
  }

  using place = std::pair<uint32_t, uint32_t>; ///< Block, offset.

  static constexpr auto block_tokens = kernels::latent_cache::block_tokens;

  static uint64_t mix(uint64_t x) { // splitmix64
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  static place place_of(const batch_rows& x, uint32_t position) {
    return {x.blocks->at(position / block_tokens), position % block_tokens};
  }

  /// Adds a token and its scores.
  static void score(const std::vector<float>& row, const kernels::draw& how,
                    int32_t token, step_result& to) {
    to.tokens.push_back(token);
    auto scores = kernels::reference::scores(row.data(), how, token);
    scores.resize(to.num_scores);
    for (auto& x : scores) {
      to.scores.push_back(x.score);
      to.score_ids.push_back(x.id);
    }
  }

  std::vector<int32_t> prefix(const batch_rows& x, uint32_t count) const {
    std::vector<int32_t> out;
    auto end = x.first_position + count;
    for (uint32_t position = 0; position < end; ++position)
      out.push_back(cache_.at(place_of(x, position)));
    return out;
  }

  std::map<place, int32_t> cache_;
};

} // namespace troupe
