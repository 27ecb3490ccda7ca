#pragma once

/// A batcher over a small cache and a model that is a hash of its tokens.

#include "runtime/batching/batcher.hpp"

#include "tests/unit/runtime/token_model.hpp"

#include <gtest/gtest.h>

namespace troupe {

/// The next step of one lane; no rows if there is none.
inline batch next_step_of(batcher& x) {
  auto next = x.next_step(1);
  return next ? std::move(next->rows) : batch{};
}

class batcher_fixture : public testing::Test {
protected:
  /// Of `shape_` with these.
  void make(uint32_t max_num_seqs, uint32_t max_rows, uint32_t max_model_len,
            uint32_t num_blocks) {
    batcher_.reset(); // gives its blocks back
    cache_.reset();
    pool_ = make_token_pool(*device_, num_blocks);
    shape_.max_num_seqs = max_num_seqs;
    shape_.max_num_running = max_num_seqs * shape_.num_lanes;
    shape_.max_num_batched_tokens = max_rows;
    shape_.max_model_len = max_model_len;
    shape_.vocab_size = token_model::vocab_size;
    shape_.num_choices = token_model::num_choices;
    shape_.eos_token_ids = {token_model::eos};
    cache_ = std::make_unique<prefix_cache>(*pool_, remembers_);
    batcher_ = std::make_unique<batcher>(shape_, *cache_);
  }

  static std::shared_ptr<generation_request> request(uint32_t num_prompt,
                                                     uint32_t max_tokens) {
    auto out = std::make_shared<generation_request>();
    for (uint32_t i = 0; i < num_prompt; ++i)
      out->prompt.push_back(int32_t(i % 11));
    out->max_tokens = max_tokens;
    out->ignore_eos = true;
    out->sampling.temperature = 0;
    return out;
  }

  std::vector<batch_output> step() {
    auto rows = next_step_of(*batcher_);
    return batcher_->end_step(0, model_.run(rows));
  }

  std::vector<batch_output> end(const batch& rows) {
    return batcher_->end_step(0, token_model::zeros(rows));
  }

  static std::vector<uint32_t> sizes(const batch& step) {
    std::vector<uint32_t> out;
    for (auto& x : step.sequences)
      out.push_back(uint32_t(x.tokens.size()));
    return out;
  }

  batcher_options shape_;
  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  bool remembers_ = false; ///< Whether there is a cache of prefixes.
  std::unique_ptr<kv_pool> pool_;
  std::unique_ptr<prefix_cache> cache_;
  std::unique_ptr<batcher> batcher_;
  token_model model_;
};

} // namespace troupe
