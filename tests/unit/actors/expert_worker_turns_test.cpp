/// A worker turn by turn: its stream comes to an end when the test says so.

#include "runtime/dispatch/slab.hpp"
#include "tests/dispatch_plans.hpp"
#include "tests/model_files.hpp"
#include "tests/unit/actors/actor_fixture.hpp"
#include "tests/unit/actors/held_stream.hpp"

using namespace troupe;

namespace {

constexpr uint16_t moe_layer = 1;

class ExpertWorkerTurns : public actor_fixture {
protected:
  ExpertWorkerTurns() {
    auto cluster = single_process(4, 1);
    cluster.max_model_len = 64;
    cluster.limits = {.max_num_seqs = 4,
                      .max_num_batched_tokens = 8,
                      .max_num_waiting = 1,
                      .num_kv_blocks = 4};
    node_options options;
    options.target = "reference";
    auto loaded = load_node_parts(cluster, 0, golden_case("v3-fp8"), options);
    EXPECT_TRUE(loaded) << loaded.why().message;
    parts_ = *loaded;
    auto& worker = *parts_->workers[0];
    auto held = std::make_unique<held_stream>(parts_->device->make_stream());
    stream_ = held.get();
    auto stages = expert_stages::make(*parts_->device, *held, *worker.shard,
                                      worker.max_runs);
    EXPECT_TRUE(stages) << stages.why().message;
    worker.stages = std::move(*stages);
    worker.stream = std::move(held);
    context_.here->update([this](cast_list& list) {
      list.supervisor = spawn_listener<supervisor>(failures_);
      for (rank_id rank = 0; rank < 4; ++rank)
        list.ranks[rank] = spawn_listener<attention>(refusals_);
    });
    context_.net = &network_;
    worker_ = spawn_expert_worker(system_, context_, parts_, worker);
    scheduler_.run();
  }

  ~ExpertWorkerTurns() override {
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    scheduler_.run();
  }

  /// One row of `rank` for the first expert.
  void send_row(rank_id rank, uint32_t serial) {
    auto top_k = parts_->config.num_experts_per_tok;
    std::vector<int32_t> experts;
    for (uint32_t i = 0; i < top_k; ++i)
      experts.push_back(int32_t(i));
    auto plan = plan_dispatch(parts_->maps[0], 0, experts, top_k);
    auto row_bytes = parts_->dispatch_layout.row_bytes();
    auto draft = draft_slab(*parts_->slabs, plan.slabs.at(0), row_bytes);
    ASSERT_TRUE(draft);
    auto view = read_slab(draft->payload.bytes(), row_bytes);
    ASSERT_TRUE(view) << view.why().message;
    dispatch_key of{{rank, 0, serial}, moe_layer, placement::first_epoch, 1};
    auto answers = std::make_shared<answer_collector>(
      view->sections, 0, parts_->combine_row_bytes, 64);
    say(worker_, rows_arrived{of, 0, 100, draft->payload,
                              std::make_shared<slab_view>(*view), 0, answers});
  }

  void advance(const std::string& failure = "") {
    stream_->advance(failure);
    scheduler_.run();
  }

  /// Ranks that have got answers, in order.
  std::vector<rank_id> answered() const {
    std::vector<rank_id> out;
    for (auto& x : network_.sent)
      out.push_back(rows_id::unpack(x.id).rank);
    return out;
  }

  std::vector<rank_id> refused() const {
    std::vector<rank_id> out;
    for (auto& x : refusals_->of<rows_refused>())
      out.push_back(x.of.id.rank);
    return out;
  }

  struct header_network : silent_network {
    void send(node_id, frame_header header, body) override {
      sent.push_back(header);
    }

    std::vector<frame_header> sent;
  };

  using ranks = std::vector<rank_id>;

  header_network network_;
  std::shared_ptr<node_parts> parts_;
  held_stream* stream_ = nullptr;
  std::shared_ptr<heard<rows_refused>> refusals_
    = std::make_shared<heard<rows_refused>>();
  std::shared_ptr<heard<part_failed>> failures_
    = std::make_shared<heard<part_failed>>();
  expert_worker worker_;
};

} // namespace

TEST_F(ExpertWorkerTurns, RunsWhatHasGatheredMeanwhileTogether) {
  send_row(0, 1);
  send_row(1, 1);
  send_row(2, 1);
  EXPECT_EQ(answered(), ranks{});
  advance(); // the first is computed: the next run is enqueued
  send_row(3, 1);
  EXPECT_EQ(answered(), ranks{});
  advance();
  EXPECT_EQ(answered(), ranks{0});
  advance();
  advance();
  EXPECT_EQ(answered(), (ranks{0, 1, 2})) << "one run for both";
  advance();
  advance();
  EXPECT_EQ(answered(), (ranks{0, 1, 2, 3}));
}

TEST_F(ExpertWorkerTurns, IsNotWokenIfNobodyWaits) {
  send_row(0, 1);
  stream_->advance(); // computed
  EXPECT_FALSE(scheduler_.has_job());
  stream_->advance(); // sent
  EXPECT_FALSE(scheduler_.has_job());
  EXPECT_EQ(answered(), ranks{0});
}

TEST_F(ExpertWorkerTurns, StartsAtOnceWhatComesBeforeTheAnswersHaveLeft) {
  send_row(0, 1);
  advance(); // computed, and nobody waits
  send_row(1, 1);
  ASSERT_EQ(stream_->num_held(), 3u) << "the next run is enqueued";
  advance();
  EXPECT_EQ(answered(), ranks{0});
  advance();
  advance();
  EXPECT_EQ(answered(), (ranks{0, 1}));
}

TEST_F(ExpertWorkerTurns, RunsOnceWhatComesTogetherWithItsNotice) {
  send_row(0, 1);
  send_row(1, 1);
  stream_->advance(); // the notice is on its way to the worker
  send_row(2, 1);
  ASSERT_EQ(stream_->num_held(), 3u) << "one run for both";
  send_row(3, 1);
  for (int notice = 0; notice < 5; ++notice)
    advance();
  EXPECT_EQ(answered(), (ranks{0, 1, 2, 3}));
  EXPECT_EQ(stream_->num_held(), 0u);
}

TEST_F(ExpertWorkerTurns, ForgetsWhoseNodeIsGone) {
  send_row(0, 1);
  send_row(1, 1);
  say(worker_, node_lost{0, 100, "a", "it broke"});
  advance();
  advance();
  EXPECT_EQ(answered(), ranks{0}) << "what runs is not called back";
  EXPECT_TRUE(refused().empty());
}

TEST_F(ExpertWorkerTurns, RefusesTheRowsOfEveryRunBehindTheOneThatFails) {
  send_row(0, 1);
  send_row(1, 1);
  advance(); // computed: the second run is enqueued
  for (int notice = 0; notice < 3; ++notice)
    advance("the device has gone");
  EXPECT_EQ(answered(), ranks{});
  EXPECT_EQ(refused(), (ranks{0, 1}));
  EXPECT_EQ(failures_->all.size(), 1u);
}

TEST_F(ExpertWorkerTurns, RefusesAllAndEndsItsNodeWhenItsDeviceFails) {
  send_row(0, 1);
  send_row(1, 1);
  advance("the device has gone");
  EXPECT_EQ(refused(), ranks{}) << "the notice behind it says so";
  advance("the device has gone");
  EXPECT_EQ(answered(), ranks{});
  EXPECT_EQ(refused(), (ranks{0, 1})) << "who waits hears it too";
  send_row(2, 1);
  EXPECT_EQ(refused(), (ranks{0, 1, 2}));
  for (auto& x : refusals_->of<rows_refused>())
    EXPECT_EQ(x.why, rows_fault::failed_run);
  ASSERT_EQ(failures_->all.size(), 1u);
  EXPECT_EQ(failures_->of<part_failed>()[0].why,
            "worker 0: the device has gone");
}
