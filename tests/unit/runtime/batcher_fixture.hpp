#pragma once

/// A batcher over a small cache and a model that is a hash of its tokens.

#include "runtime/batching/batcher.hpp"

#include "tests/unit/runtime/token_model.hpp"

#include <gtest/gtest.h>

namespace troupe {

class batcher_fixture : public testing::Test {
protected:
  void make(uint32_t max_num_seqs, uint32_t max_rows, uint32_t max_model_len,
            uint32_t num_blocks) {
    pool_ = make_token_pool(*device_, num_blocks);
    batcher_options options;
    options.max_num_seqs = max_num_seqs;
    options.max_num_batched_tokens = max_rows;
    options.max_model_len = max_model_len;
    options.vocab_size = token_model::vocab_size;
    options.num_choices = token_model::num_choices;
    options.eos_token_ids = {token_model::eos};
    batcher_ = std::make_unique<batcher>(options, *pool_);
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
    auto rows = batcher_->next_step();
    return batcher_->end_step(model_.run(rows));
  }

  std::vector<batch_output> end(const batch& rows) {
    return batcher_->end_step(token_model::zeros(rows));
  }

  static std::vector<uint32_t> sizes(const batch& step) {
    std::vector<uint32_t> out;
    for (auto& x : step.sequences)
      out.push_back(uint32_t(x.tokens.size()));
    return out;
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_;
  std::unique_ptr<batcher> batcher_;
  token_model model_;
};

} // namespace troupe
