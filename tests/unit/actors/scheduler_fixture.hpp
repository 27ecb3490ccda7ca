#pragma once

/// A real scheduler and cache of rank 5; attention and gateway only listen.

#include "tests/unit/actors/actor_fixture.hpp"

namespace troupe {

class scheduler_fixture : public actor_fixture {
protected:
  /// The rank, with a cache of so many blocks.
  void make_rank(uint32_t num_blocks) {
    model_config config;
    config.num_hidden_layers = 1;
    config.kv_lora_rank = 2;
    config.qk_rope_head_dim = 2;
    auto pool = kv_pool::make(*device_, config, precision::fp32, num_blocks);
    EXPECT_TRUE(pool);
    rank_.id = 5;
    rank_.pool = std::move(*pool);
    rank_.cache = std::make_unique<prefix_cache>(*rank_.pool);
  }

  void start(uint32_t max_model_len, uint32_t vocab_size) {
    batcher_options options;
    options.max_model_len = max_model_len;
    options.vocab_size = vocab_size;
    context_.here->update([this](cast_list& list) {
      list.ranks[5] = spawn_listener<attention>(steps_);
    });
    scheduler_actor_ = spawn_scheduler(system_, context_, parts_, rank_,
                                       options,
                                       spawn_listener<gateway_inbox>(answers_));
    scheduler_.run();
  }

  ~scheduler_fixture() override {
    // It gives its blocks back before the pool goes.
    caf::anon_send_exit(scheduler_actor_, caf::exit_reason::kill);
    scheduler_.run();
  }

  /// Ends the step that is out; whoever draws gets `token`.
  void end_step(int32_t token = 1) {
    auto result = std::make_shared<step_result>();
    for (auto& rows : last_step()->rows.sequences)
      if (rows.draw)
        result->tokens.push_back(token);
    say(scheduler_actor_, step_ended{0, result, {}});
  }

  std::shared_ptr<const planned_step> last_step() const {
    return steps_->of<run_step>().back().what;
  }

  size_t num_steps() const {
    return steps_->all.size();
  }

  uint64_t count(counter x) const {
    return counters_.read()[size_t(x)];
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::shared_ptr<node_parts> parts_ = std::make_shared<node_parts>();
  rank_parts rank_;
  std::shared_ptr<heard<run_step>> steps_ = std::make_shared<heard<run_step>>();
  using heard_answers = heard<tokens_ready, node_report, request_copied>;
  std::shared_ptr<heard_answers> answers_ = std::make_shared<heard_answers>();
  local_scheduler scheduler_actor_;
};

} // namespace troupe
