#pragma once

/// A scheduler whose cache has keys, and a keeper that only listens.

#include "tests/unit/actors/scheduler_fixture.hpp"

namespace troupe {

class courier_fixture : public scheduler_fixture {
protected:
  courier_fixture() {
    make_rank(num_blocks);
    rank_.cache->keep_keys(identity_of("model"));
    buffers_ = host_buffers::make(*device_, 4, 64);
    context_.here->update([this](cast_list& list) {
      list.keeper = spawn_listener<keeper>(keeps_);
    });
    start(512, 8);
  }

  void request(request_id id, uint32_t num_tokens = 200,
               const std::string& salt = "", uint32_t max_tokens = 4) {
    auto what = std::make_shared<generation_request>();
    for (uint32_t i = 0; i < num_tokens; ++i)
      what->prompt.push_back(int32_t(i / 64 % 8));
    what->max_tokens = max_tokens;
    what->ignore_eos = true;
    what->sampling.temperature = 0;
    what->cache_salt = salt;
    say(scheduler_actor_, run_request{id, 7, 0, 5, what, {}});
  }

  fetch_chain last_fetch() const {
    return keeps_->of<fetch_chain>().back();
  }

  void find(uint32_t count) {
    say(scheduler_actor_, chain_found{last_fetch().fetch, count});
  }

  void bring(uint32_t index, bool has_bytes = true, bool is_kept = true) {
    say(scheduler_actor_,
        block_fetched{last_fetch().fetch, index,
                      has_bytes ? buffers_->take() : nullptr, is_kept});
  }

  void land(uint32_t index) {
    say(scheduler_actor_, block_landed{last_fetch().fetch, index, true});
  }

  static constexpr uint32_t num_blocks = 8;
  std::shared_ptr<host_buffers> buffers_;
  std::shared_ptr<heard<keep_blocks, drop_blocks, fetch_chain, land_block>>
    keeps_ = std::make_shared<
      heard<keep_blocks, drop_blocks, fetch_chain, land_block>>();
};

} // namespace troupe
