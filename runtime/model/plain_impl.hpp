#pragma once

/// What the plain path is made of; seen by plain_*.cpp alone.

#include "runtime/model/attention_forms.hpp"
#include "runtime/model/plain_forward.hpp"

#include <memory>
#include <span>
#include <vector>

namespace troupe {

/// The blocks of one sequence; given back at its end. CHECKs that there are
/// enough.
class sequence_blocks {
public:
  sequence_blocks(kv_pool& pool, uint32_t num_tokens) : pool_(pool) {
    auto per_block = kernels::latent_cache::block_tokens;
    kernels::block_table table;
    for (uint32_t i = 0; i < num_tokens; i += per_block) {
      auto block = pool.take();
      CHECK(block.has_value());
      table.push_back(*block);
    }
    table_ = std::make_shared<const kernels::block_table>(std::move(table));
  }

  ~sequence_blocks() {
    for (auto block : *table_)
      pool_.release(block);
  }

  sequence_blocks(const sequence_blocks&) = delete;
  sequence_blocks& operator=(const sequence_blocks&) = delete;

  const std::shared_ptr<const kernels::block_table>& table() const {
    return table_;
  }

private:
  kv_pool& pool_;
  std::shared_ptr<const kernels::block_table> table_;
};

/// Tokens [first, first + count) of a prompt as a step.
batch chunk_of(const std::vector<int32_t>& tokens, attention_form form,
               uint32_t first, uint32_t count, const sequence_blocks& blocks);

struct plain_forward::impl {
  explicit impl(kernels::device& dev) : dev(dev) {
  }

  ~impl() {
    stream.reset(); // Waits, so that nobody uses what is freed below.
    for (auto part : {attention ? &attention->memory : nullptr,
                      shard ? &shard->memory : nullptr})
      for (size_t i = 0; part && i < part->size(); ++i)
        dev.free((*part)[i]);
  }

  /// Loads the weights, then claims what passes need.
  result<void> load(const checkpoint& source, const plain_options& options,
                    const load_progress& progress);
  result<void> claim();

  result<void> check(const std::vector<int32_t>& tokens) const;
  result<void> check_together(const std::vector<std::vector<int32_t>>& prompts,
                              uint32_t num_tokens) const;

  /// Dispatch and combine by calling. Copies the choice to spans that are not
  /// empty.
  result<void> moe(uint32_t layer, std::span<int32_t> experts = {},
                   std::span<float> weights = {});
  result<void> layer(uint32_t i);
  /// One step from embedding to logits.
  result<void> pass(const batch& step);
  result<void> wait();
  result<void> trace_chunk(const batch& step, uint32_t first, uint32_t total,
                           trace& out);
  result<void> layers_chunk(const batch& step, uint32_t first, uint32_t total,
                            const std::vector<float>& hidden,
                            std::vector<float>& out);
  /// [begin, end) of a prompt, all of one form.
  struct piece {
    attention_form form = attention_form::absorbed;
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  /// A prompt in pieces of at most `most` tokens.
  std::vector<piece> pieces_of(size_t num_tokens,
                               std::span<const prompt_segment> segments,
                               uint32_t most) const;

  /// Ids that may be sampled.
  uint32_t num_choices() const;
  result<void> prefill(const generation_request& request,
                       const sequence_blocks& blocks, const kernels::draw& draw,
                       std::vector<token_score>& scores);
  result<void> decode(int32_t id, uint32_t position,
                      const sequence_blocks& blocks, const kernels::draw& draw,
                      bool want_logits);

  kernels::device& dev;
  plain_options options;
  std::unique_ptr<kernels::stream> stream;
  std::unique_ptr<attention_weights> attention;
  std::unique_ptr<expert_shard> shard;
  std::unique_ptr<kv_pool> pool;
  std::unique_ptr<attention_stages> stages;
  std::unique_ptr<expert_stages> experts;
  uint32_t max_rows = 0;
  uint32_t max_logit_rows = 0;
};

} // namespace troupe
