#pragma once

#include "tests/model_files.hpp"
#include "tests/unit/actors/actor_fixture.hpp"

#include "kernels/host/host_memory.hpp"
#include "runtime/kv_store/kv_io.hpp"

#include <cstring>
#include <deque>

namespace troupe {

/// A real keeper with a real store, on this thread; the scheduler only listens.
class keeper_fixture : public actor_fixture {
protected:
  using told = heard<blocks_let_go, chain_found, block_fetched, block_landed>;

  keeper_fixture() {
    model_config config;
    config.num_hidden_layers = 2;
    config.kv_lora_rank = 8;
    config.qk_rope_head_dim = 8;
    auto pool = kv_pool::make(*device_, config, precision::fp32, 8);
    EXPECT_TRUE(pool);
    auto rank = std::make_unique<rank_parts>();
    rank->id = 5;
    rank->pool = std::move(*pool);
    rank->transfers = device_->make_stream();
    bytes_ = rank->pool->block_bytes();
    parts_->ranks.push_back(std::move(rank));
    parts_->device = device_;
    parts_->keeper = std::make_unique<keeper_parts>();
    auto& to = *parts_->keeper;
    to.files = {scratch_dir() / "kv", 64 * (bytes_ + 4096), bytes_,
                identity_of("model")};
    to.reading = host_buffers::make(*device_, 2, bytes_);
    to.writing = host_buffers::make(*device_, 2, bytes_);
    to.max_reads = to.max_writes = 2;
    context_.here->update([this](cast_list& list) {
      list.schedulers[5] = spawn_listener<local_scheduler>(told_);
    });
  }

  ~keeper_fixture() override {
    end();
  }

  /// Does what it is given at once, but for what a disk that hangs has.
  class scripted_io : public kv_io {
  public:
    scripted_io() : kv_io(0) {
    }

    bool read(job what, job dropped) override {
      return take({std::move(what), std::move(dropped), true});
    }

    bool write(job what, job dropped) override {
      return take({std::move(what), std::move(dropped), false});
    }

    void erase(job what) override {
      if (hangs)
        held_.push_front({std::move(what), {}, false});
      else
        what();
    }

    void drop_reads() override {
      drop(true);
    }

    void drop_writes() override {
      drop(false);
    }

    void answer_one() {
      auto next = std::move(held_.front());
      held_.pop_front();
      next.what();
    }

    size_t num_held() const {
      return held_.size();
    }

    bool hangs = false;

  private:
    struct held {
      job what;
      job dropped;
      bool is_read = false;
    };

    bool take(held x) {
      if (hangs)
        held_.push_back(std::move(x));
      else
        x.what();
      return true;
    }

    /// All but the first, which a thread has in hand.
    void drop(bool reads) {
      std::deque<held> all;
      all.swap(held_);
      for (auto& x : all)
        if (x.is_read != reads || !x.dropped || held_.empty())
          held_.push_back(std::move(x));
        else
          x.dropped();
    }

    std::deque<held> held_;
  };

  void start() {
    end();
    if (num_in_memory > 0)
      parts_->keeper->memory = kv_memory::make(*device_, num_in_memory * bytes_,
                                               bytes_);
    io_ = std::make_shared<scripted_io>();
    keeper_ = spawn_keeper(system_, context_, parts_, io_);
    scheduler_.run();
  }

  void wait(std::chrono::seconds time) {
    scheduler_.advance_time(time);
    say(keeper_, tick{});
  }

  void end() {
    if (keeper_)
      caf::anon_send_exit(keeper_, caf::exit_reason::kill);
    scheduler_.run();
  }

  static std::shared_ptr<const std::vector<kv_block>> chain(int32_t first,
                                                            uint32_t n) {
    auto out = std::make_shared<std::vector<kv_block>>();
    kv_key before = kv_chain{identity_of("model")}.root("");
    for (uint32_t i = 0; i < n; ++i) {
      kv_block x;
      x.before = before;
      x.depth = i;
      x.tokens.fill(first + int32_t(i));
      before = x.key = kv_chain::next(before, x.tokens, 0);
      out->push_back(x);
    }
    return out;
  }

  std::byte* memory(uint32_t block) const {
    return kernels::host::address_of(parts_->ranks[0]->pool->block(block));
  }

  /// Fills block i with what follows from `seed` and keeps it.
  void keep(const std::vector<kv_block>& all, int seed) {
    for (uint32_t i = 0; i < all.size(); ++i) {
      std::memset(memory(i), seed + int(i), bytes_);
      say(keeper_, keep_blocks{5, {{i, all[i]}}});
    }
  }

  void fetch(std::shared_ptr<const std::vector<kv_block>> all,
             double seconds = 0) {
    say(keeper_, fetch_chain{5, ++fetch_, std::move(all), seconds, wanted_});
  }

  uint32_t num_found() const {
    return told_->of<chain_found>().back().count;
  }

  std::vector<block_fetched> fetched() const {
    return told_->of<block_fetched>();
  }

  uint64_t count(counter x) const {
    return counters_.read()[size_t(x)];
  }

  std::shared_ptr<kernels::device> device_
    = kernels::make_inline_device(0, kernels::make_reference_executor());
  std::shared_ptr<node_parts> parts_ = std::make_shared<node_parts>();
  uint64_t bytes_ = 0;
  uint64_t num_in_memory = 0; ///< Blocks that stay in host memory; of start().
  std::shared_ptr<told> told_ = std::make_shared<told>();
  std::shared_ptr<std::atomic<bool>> wanted_
    = std::make_shared<std::atomic<bool>>(true);
  uint64_t fetch_ = 0;
  std::shared_ptr<scripted_io> io_;
  keeper keeper_;
};

} // namespace troupe
