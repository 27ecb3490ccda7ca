#pragma once

/// A rank that gives blocks to another one or takes them: the other one is the
/// test.

#include "tests/unit/actors/scheduler_fixture.hpp"

namespace troupe {

inline constexpr request_id the_request = 3;
inline constexpr uint32_t the_term = 7;
inline constexpr uint32_t num_blocks = 8;
inline constexpr uint64_t block_bytes = 64 * 4 * sizeof(float);

/// Rank 5 is here, on node a, and rank 6 on b.
class HandOverOfBlocks : public scheduler_fixture {
protected:
  struct frame_network : silent_network {
    void send(node_id to, frame_header header, body payload) override {
      EXPECT_EQ(to, 1);
      sent.push_back({header, std::move(payload)});
    }

    std::vector<frame> sent;
  };

  using answers = heard<offer_blocks, want_blocks, block_taken, offer_ended>;

  HandOverOfBlocks() {
    device_ = kernels::make_inline_device(0, kernels::make_cpu_executor({}));
    make_rank(num_blocks);
    rank_.handing = device_->make_stream();
    rank_.leaving = host_buffers::make(*device_, 2, block_bytes);
    parts_->cluster.nodes
      = {{"a", "127.0.0.1", true, true, false, {0, 1, 2, 3, 4, 5}, {0}},
         {"b", "127.0.0.1", false, false, false, {6}, {1}}};
    context_.incarnation = 100;
    context_.net = &frames_;
    context_.here->update([this](cast_list& list) {
      list.peers[1] = spawn_listener<peer>(far_);
      list.processes[1] = 101;
    });
    start(512, 8);
  }

  static std::shared_ptr<const generation_request>
  prompt(uint32_t num_tokens, const std::string& salt = "") {
    auto what = std::make_shared<generation_request>();
    for (uint32_t i = 0; i < num_tokens; ++i)
      what->prompt.push_back(int32_t(i / 64 % 8));
    what->max_tokens = 4;
    what->ignore_eos = true;
    what->sampling.temperature = 0;
    what->cache_salt = salt;
    return what;
  }

  /// A process is lost.
  void lose(node_id node, uint64_t incarnation) {
    say(scheduler_actor_, node_lost{node, incarnation, "b", "it fell"});
  }

  /// Time goes on, and deadlines are looked after.
  void wait(std::chrono::seconds time) {
    scheduler_.advance_time(time);
    scheduler_.run();
    say(scheduler_actor_, tick{});
  }

  uint32_t num_held() const {
    return num_blocks - rank_.cache->num_available();
  }

  frame_network frames_;
  std::shared_ptr<answers> far_ = std::make_shared<answers>();
};

/// Rank 5 computes what 6 goes on with.
class Giver : public HandOverOfBlocks {
protected:
  void run(uint32_t num_tokens = 200) {
    say(scheduler_actor_,
        run_request{
          the_request, the_term, 0, 5, prompt(num_tokens), {}, rank_id{6}});
  }

  void want(uint32_t first, uint32_t count, uint64_t transfer = 9) {
    say(scheduler_actor_,
        want_blocks{5, 6, the_request, the_term, transfer, first, count});
  }

  void taken(uint32_t chunk, bool goes_on = true) {
    say(scheduler_actor_, block_taken{5, {9, the_term}, chunk, goes_on});
  }
};

} // namespace troupe
