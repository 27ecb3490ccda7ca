/// A real rank of a real model on a real device; the test plays its workers.

#include "actors/cast.hpp"
#include "kernels/reference/operations.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/keeping_network.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>

using namespace troupe;

namespace {

constexpr uint32_t num_rows = 20;

class AttentionRows : public testing::Test {
protected:
  AttentionRows() {
    auto cluster = single_process(1, 1);
    cluster.max_model_len = 256;
    node_options options;
    options.num_threads = 1;
    auto made = load_node_parts(
      cluster, 0, (source_dir() / "examples/nano/model").string(), options);
    EXPECT_TRUE(made) << made.why().message;
    parts_ = *made;
    node_context context;
    context.net = &net_;
    context.counters = &counters_;
    context.log = &log_;
    auto listen = [this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const step_ended& msg) { ended_.set_value(msg); }};
    };
    scheduler_ = caf::actor_cast<local_scheduler>(system_->spawn(listen));
    rank_ = spawn_attention(*system_, context, parts_, *parts_->ranks[0],
                            scheduler_);
  }

  void TearDown() override {
    caf::anon_send_exit(rank_, caf::exit_reason::kill);
    caf::anon_send_exit(scheduler_, caf::exit_reason::kill);
    rank_ = attention{};
    scheduler_ = local_scheduler{};
    system_.reset(); // waits for them
  }

  static batch_rows some_rows(uint32_t count, uint32_t block) {
    batch_rows rows;
    for (uint32_t i = 0; i < count; ++i)
      rows.tokens.push_back(int32_t(3 + i));
    rows.blocks = std::make_shared<const kernels::block_table>(1, block);
    return rows;
  }

  void begin_step() {
    auto rows = some_rows(num_rows, 0);
    rows.want_logits = true;
    begin_step({{std::move(rows)}});
  }

  void begin_step(batch step) {
    ended_ = {};
    planned_step next;
    next.rows = std::move(step);
    tell(rank_, run_step{std::make_shared<const planned_step>(std::move(next)),
                         false});
  }

  step_ended wait_for_end() {
    auto end = ended_.get_future();
    EXPECT_EQ(end.wait_for(std::chrono::seconds{60}),
              std::future_status::ready);
    return end.get();
  }

  frame wait_for_rows() {
    return net_.wait([](auto& frames) { return !frames.empty(); }).at(0);
  }

  static dispatch_key key_of(const frame& rows) {
    return {rows_id::unpack(rows.header.id), rows.header.layer,
            rows.header.epoch, rows.header.step};
  }

  /// Answers of one worker from `first` on; every row says its number.
  body answers(uint64_t first, uint32_t count, uint32_t extra_bytes = 0,
               worker_id worker = 0) const {
    auto row_bytes = parts_->combine_row_bytes;
    auto head = answer_head(1);
    auto data = std::make_shared<std::vector<std::byte>>(
      head + count * row_bytes + extra_bytes);
    answer_section section{worker, first, count};
    write_answer_head(data->data(), {&section, 1});
    for (size_t i = 1; head + i < data->size(); i += 2) // high bytes of BF16
      (*data)[head + i] = std::byte(0x30 + (first + i / row_bytes) % 8);
    return {data, *data};
  }

  void answer(const frame& rows, uint64_t first, uint32_t count,
              uint32_t extra_bytes = 0, worker_id worker = 0) {
    tell(rank_, rows_returned{key_of(rows), 0,
                              answers(first, count, extra_bytes, worker)});
  }

  uint32_t num_answers() const {
    return num_rows * parts_->config.num_experts_per_tok;
  }

  /// Runs a step whose answers come in frames of `count` rows; its logits.
  std::vector<float> logits_with_frames_of(uint32_t count) {
    begin_step();
    for (uint32_t i = 0; i < parts_->config.num_moe_layers(); ++i) {
      auto rows = wait_for_rows();
      EXPECT_EQ(rows.header.first, 0u);
      for (uint32_t first = 0; first < num_answers(); first += count)
        answer(rows, first, std::min(count, num_answers() - first));
    }
    auto end = wait_for_end();
    EXPECT_FALSE(end.cause) << end.cause->message;
    return end.result ? end.result->logits.at(0) : std::vector<float>{};
  }

  /// How a step ends whose first layer is answered by `f`.
  template <class F>
  std::string failure_after(F f) {
    begin_step();
    auto rows = wait_for_rows();
    f(rows);
    auto end = wait_for_end();
    return end.cause ? end.cause->message : "none";
  }

  caf::actor_system_config config_;
  logger log_{"test", log_level::error};
  node_counters counters_;
  keeping_network net_;
  std::promise<step_ended> ended_;
  std::shared_ptr<node_parts> parts_;
  std::unique_ptr<caf::actor_system> system_
    = std::make_unique<caf::actor_system>(config_);
  local_scheduler scheduler_;
  attention rank_;
};

} // namespace

TEST_F(AttentionRows, TakesRowsBackInAnyNumberOfFrames) {
  auto want = logits_with_frames_of(num_answers());
  ASSERT_EQ(want.size(), parts_->config.vocab_size);
  for (uint32_t count : {1u, 7u, num_answers() / 2, num_answers() - 1})
    EXPECT_EQ(logits_with_frames_of(count), want) << count;
}

TEST_F(AttentionRows, DrawsTokensAndHandsOutTheLogitsThatAreWanted) {
  auto vocab = parts_->config.vocab_size;
  kernels::draw draw;
  draw.num_choices = vocab;
  batch step;
  for (uint32_t i = 0; i < 4; ++i) // 20 rows in all, as `answer` has them
    step.sequences.push_back(some_rows(5, i));
  for (uint32_t i : {0u, 2u, 3u}) {
    draw.temperature = i == 3 ? 0.f : 1.f;
    draw.point = (uint64_t{1} << 50) * (i + 1);
    step.sequences[i].draw = draw;
  }
  for (uint32_t i : {2u, 3u})
    step.sequences[i].want_logits = true;
  auto draws = step.sequences;
  begin_step(std::move(step));
  for (uint32_t i = 0; i < parts_->config.num_moe_layers(); ++i)
    answer(wait_for_rows(), 0, num_answers());
  auto end = wait_for_end();
  ASSERT_TRUE(end.result) << end.cause->message;
  auto& tokens = end.result->tokens;
  auto& logits = end.result->logits;
  ASSERT_EQ(tokens.size(), 3u);
  ASSERT_EQ(logits.size(), 2u) << "nobody wanted the others";
  for (uint32_t i : {0u, 1u}) {
    ASSERT_EQ(logits[i].size(), vocab);
    EXPECT_EQ(tokens[i + 1],
              kernels::reference::choose(logits[i].data(), *draws[i + 2].draw));
  }
}

TEST_F(AttentionRows, FailsAStepAtOnceWhoseRowsAreRefused) {
  EXPECT_EQ(failure_after([&](auto& rows) {
              tell(rank_, rows_refused{key_of(rows), 0, rows_fault::no_memory});
            }),
            "worker 0 refused its rows: it has no memory for the answers");
  EXPECT_EQ(failure_after([&](auto& rows) {
              answer(rows, 0, 3);
              tell(rank_, rows_refused{key_of(rows), rows_refused::whole_slab,
                                       rows_fault::damaged_slab});
            }),
            "a node refused its rows: they came in a damaged slab");
  EXPECT_EQ(logits_with_frames_of(num_answers()).size(),
            parts_->config.vocab_size)
    << "the rank goes on";
}

TEST_F(AttentionRows, HearsNothingThatIsNotOfTheDispatchThatIsOut) {
  begin_step();
  for (uint32_t i = 0; i < parts_->config.num_moe_layers(); ++i) {
    auto rows = wait_for_rows();
    for (int field = 0; field < 5; ++field) {
      auto other = key_of(rows);
      other.id.serial += field == 0;
      other.id.micro_batch += field == 1;
      other.layer += field == 2;
      other.epoch += field == 3;
      other.step += field == 4;
      tell(rank_, rows_refused{other, 0, rows_fault::failed_run});
      tell(rank_, rows_returned{other, 0, answers(0, 1)});
    }
    answer(rows, 0, num_answers());
  }
  EXPECT_FALSE(wait_for_end().cause);
}

TEST_F(AttentionRows, StampsTheEpochThatItPlansWith) {
  begin_step();
  EXPECT_EQ(wait_for_rows().header.epoch, parts_->maps[0].epoch());
  EXPECT_NE(parts_->maps[0].epoch(), 0u);
}

TEST_F(AttentionRows, FailsAStepToWhichOtherRowsComeBack) {
  auto other = "worker 0 returned other rows than it was sent";
  auto n = num_answers();
  EXPECT_EQ(failure_after([&](auto& x) { answer(x, 1, n - 1); }), other);
  EXPECT_EQ(failure_after([&](auto& x) { answer(x, 0, n + 1); }), other);
  EXPECT_EQ(failure_after([&](auto& x) { answer(x, 0, n - 1, 2); }),
            "a slab of answers has other rows than its sections");
  EXPECT_EQ(failure_after([&](auto& x) { answer(x, UINT64_MAX, 1); }), other);
  EXPECT_EQ(failure_after([&](auto& x) {
              answer(x, 0, 3);
              answer(x, 0, 3); // again
            }),
            other);
  EXPECT_EQ(failure_after([&](auto& x) { answer(x, 0, n, 0, 5); }),
            "worker 5 returned other rows than it was sent");
  EXPECT_EQ(logits_with_frames_of(n).size(), parts_->config.vocab_size)
    << "the rank goes on";
}

TEST_F(AttentionRows, WaitsUntilThereIsRoomForItsRows) {
  constexpr uint64_t room = 8192; // the rows of one layer
  parts_->slabs = std::make_unique<slab_pool>(room);
  begin_step();
  auto held = wait_for_rows();
  // Of the second layer nothing can be sent as long as we hold the first.
  answer(held, 0, num_answers());
  for (int i = 0; i < 1000; ++i)
    tell(rank_, tick{});
  EXPECT_FALSE(parts_->slabs->take(room));
  std::jthread ticker{[&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      tell(rank_, tick{});
      std::this_thread::yield();
    }
  }};
  held = {};
  EXPECT_EQ(wait_for_rows().header.layer, 2);
}
