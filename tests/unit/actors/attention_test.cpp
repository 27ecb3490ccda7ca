#include "tests/model_files.hpp"
#include "tests/unit/actors/actor_fixture.hpp"
#include "tests/unit/actors/held_stream.hpp"

using namespace troupe;

namespace {

class counting_network : public silent_network {
public:
  void send(node_id to, frame_header header, body) override {
    sent.push_back({to, header});
  }

  std::vector<std::pair<node_id, frame_header>> sent;
};

constexpr std::chrono::milliseconds limit{400};
constexpr std::chrono::hours long_ago{2};

/// A real rank on a clock and a stream of the test's own.
class Attention : public actor_fixture {
protected:
  /// The rank is on the first node, the workers are on node `of_workers`.
  void start(size_t of_workers, uint32_t num_lanes = 1) {
    topology cluster;
    cluster.nodes = {{"a", "127.0.0.1", true, true, false, {0}, {}},
                     {"b", "127.0.0.1", false, false, false, {}, {}}};
    cluster.nodes[of_workers].workers = {0, 1};
    cluster.max_model_len = 64;
    cluster.limits = {.max_num_seqs = 4,
                      .max_num_batched_tokens = 8,
                      .max_num_waiting = 1,
                      .num_kv_blocks = 4,
                      .step_timeout_ms = uint32_t(limit.count()),
                      .micro_batches = num_lanes};
    node_options options;
    options.target = "reference";
    auto loaded = load_node_parts(cluster, 0, golden_case("v3-fp8"), options);
    ASSERT_TRUE(loaded) << loaded.why().message;
    parts_ = *loaded;
    auto& rank = *parts_->ranks[0];
    auto held = std::make_unique<held_stream>(parts_->device->make_stream());
    stream_ = held.get();
    rank.lanes.clear();
    for (uint32_t i = 0; i < num_lanes; ++i) {
      auto stages = attention_stages::make(
        *parts_->device, *held, *parts_->attention, *rank.pool, 8, 4);
      ASSERT_TRUE(stages) << stages.why().message;
      rank.lanes.push_back(std::move(*stages));
    }
    rank.stream = std::move(held);
    context_.net = &network_;
    context_.here->update([this](cast_list& list) {
      list.supervisor = spawn_listener<supervisor>(failures_);
    });
    attention_ = spawn_attention(system_, context_, parts_, rank,
                                 spawn_listener<local_scheduler>(ends_));
    scheduler_.run();
  }

  ~Attention() override {
    if (attention_)
      caf::anon_send_exit(attention_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void run_step(bool tells_layers = false, lane_mask behind = 0,
                uint8_t lane = 0) {
    auto blocks = std::make_shared<kernels::block_table>();
    blocks->push_back(0);
    auto step = std::make_shared<planned_step>();
    step->rows.sequences.push_back({{5}, 0, blocks});
    step->rows.sequences[0].want_logits = true;
    step->behind = behind;
    step->lane = lane;
    auto msg = run_step_of(step);
    msg.tells_layers = tells_layers;
    say(attention_, std::move(msg));
  }

  static troupe::run_step
  run_step_of(std::shared_ptr<const planned_step> step) {
    return {std::move(step), false};
  }

  void advance(const std::string& failure = "") {
    stream_->advance(failure);
    scheduler_.run();
  }

  /// The clock goes on by `duration`, with a tick at its end.
  void pass(std::chrono::milliseconds duration) {
    scheduler_.advance_time(duration);
    say(attention_, tick{});
  }

  std::string end() const {
    auto all = ends_->of<step_ended>();
    if (all.empty())
      return "none";
    auto& cause = all.back().cause;
    return cause ? std::string{to_string(cause->code)} + ": " + cause->message
                 : "well";
  }

  /// Up to where the rows of the first layer with experts have left.
  void send_rows() {
    run_step();
    advance(); // the router has chosen
    ASSERT_TRUE(network_.sent.empty());
    advance(); // they are packed
    ASSERT_FALSE(network_.sent.empty());
  }

  std::shared_ptr<heard<part_failed>> failures_
    = std::make_shared<heard<part_failed>>();
  counting_network network_;
  std::shared_ptr<node_parts> parts_;
  held_stream* stream_ = nullptr;
  attention attention_;
  using heard_ends
    = heard<step_ended, layers_written, run_request, cancel_request>;
  std::shared_ptr<heard_ends> ends_ = std::make_shared<heard_ends>();
};

} // namespace

TEST_F(Attention, SaysWhichLayersAreWrittenToWhoWantsToHear) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  EXPECT_TRUE(ends_->of<layers_written>().empty());
  say(attention_, node_lost{1, 7, "b", "it was silent"});
  say(attention_, node_back{1, 101, "b"});
  network_.sent.clear();
  run_step(true);
  EXPECT_TRUE(ends_->of<layers_written>().empty());
  advance(); // to the first layer with experts
  auto told = ends_->of<layers_written>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].lane, 0u);
  EXPECT_EQ(told[0].end, parts_->config.first_k_dense_replace + 1);
  EXPECT_TRUE(network_.sent.empty());
}

// It computes over rows that were never written, until it is known.
TEST_F(Attention, TellsOfNoLayersBehindAStepThatHasFailed) {
  ASSERT_NO_FATAL_FAILURE(start(1, 2));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  say(attention_, node_lost{1, 7, "b", "it was silent"});
  say(attention_, node_back{1, 101, "b"});
  run_step(true, lane_mask{1} << 0, 1);
  advance();
  EXPECT_TRUE(ends_->of<layers_written>().empty());
  run_step(true, lane_mask{1} << 1, 0); // and behind one that comes to nothing
  advance();
  EXPECT_TRUE(ends_->of<layers_written>().empty());
  say(attention_, node_lost{1, 101, "b", "it was silent"});
  say(attention_, node_back{1, 102, "b"});
  run_step(true, 0, 1);
  for (int i = 0; i < 8 && ends_->of<layers_written>().empty(); ++i)
    advance(); // what those had enqueued comes first
  EXPECT_EQ(ends_->of<layers_written>().size(), 1u);
}

TEST_F(Attention, WaitsForOtherNodesNoLongerThanTheLimit) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  pass(limit); // seen to be away
  pass(limit - std::chrono::milliseconds{1});
  EXPECT_EQ(end(), "none");
  pass(std::chrono::milliseconds{1});
  EXPECT_TRUE(end().starts_with(
    "deadline_passed: no rows came back in time from worker "))
    << end();
}

TEST_F(Attention, AVerdictEndsAStepAndWhoIsBackIsTurnedToAgain) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  // The view may have moved on before the rank hears who is lost.
  context_.here->update([](cast_list& all) { all.members = view_of(2); });
  say(attention_, node_lost{1, 7, "b", "it was silent"});
  EXPECT_EQ(end(), "peer_lost: node b was lost: it was silent");
  run_step();
  advance();
  EXPECT_EQ(ends_->of<step_ended>().size(), 2u) << "nobody else has experts";
  say(attention_, node_back{1, 101, "b"});
  network_.sent.clear();
  ASSERT_NO_FATAL_FAILURE(send_rows());
  EXPECT_EQ(ends_->of<step_ended>().size(), 2u);
}

TEST_F(Attention, AStepOfAFailedWorkerWaitsForTheVerdictOnItsNode) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  auto header = network_.sent.front().second;
  dispatch_key of{rows_id::unpack(header.id), header.layer, header.epoch,
                  header.step};
  say(attention_, rows_refused{of, 0, rows_fault::failed_run});
  ASSERT_EQ(ends_->of<step_ended>().size(), 1u);
  EXPECT_TRUE(ends_->of<step_ended>().back().again) << end();
  run_step();
  advance();
  EXPECT_EQ(ends_->of<step_ended>().size(), 1u) << "it waits: " << end();
  say(attention_, node_lost{1, 7, "b", "its device failed"});
  ASSERT_EQ(ends_->of<step_ended>().size(), 2u);
  EXPECT_EQ(end(), "peer_lost: node b was lost: its device failed");
  EXPECT_FALSE(ends_->of<step_ended>().back().again)
    << "others know who is missing";
}

TEST_F(Attention, WhoIsBackIsTurnedToOnceItHasAPartInANewPlacement) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  auto place = [this](uint32_t epoch) {
    auto next = parts_->maps[0].lists();
    next.epoch = epoch;
    say(attention_,
        placement_published{std::make_shared<const placement_lists>(next)});
  };
  place(2);
  say(attention_, node_lost{1, 7, "b", "it was silent"});
  say(attention_, node_back{1, 101, "b"});
  run_step();
  advance();
  EXPECT_EQ(end(), "none") << "it waits";
  EXPECT_TRUE(network_.sent.empty());
  place(2);
  EXPECT_TRUE(network_.sent.empty()) << "heard twice";
  place(3);
  advance();
  EXPECT_FALSE(network_.sent.empty());
}

TEST_F(Attention, EndsItsNodeIfItCannotTakeAPlacement) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  placement_lists wrong{0, 2, {{0, 0, {{99, 0}, 1}}}};
  say(attention_,
      placement_published{std::make_shared<const placement_lists>(wrong)});
  auto failed = failures_->of<part_failed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_TRUE(failed[0].why.starts_with("rank 0 cannot take a placement: "))
    << failed[0].why;
}

TEST_F(Attention, ComputesAsLongAsItTakes) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  run_step();
  pass(long_ago);
  pass(long_ago);
  EXPECT_EQ(end(), "none") << "while the router works";
  advance();
  pass(long_ago);
  pass(long_ago);
  EXPECT_EQ(end(), "none") << "while rows are packed";
  advance();
  ASSERT_FALSE(network_.sent.empty());
  pass(limit / 2);
  EXPECT_EQ(end(), "none") << "the clock starts when they have left";
}

TEST_F(Attention, BeginsAStepBehindOneThatHasFailedWithAFreshClock) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  pass(limit);
  pass(limit);
  ASSERT_TRUE(end().starts_with("deadline_passed")) << end();
  network_.sent.clear();
  run_step(); // its operations wait behind the shared expert
  pass(long_ago);
  pass(long_ago);
  advance();
  pass(long_ago);
  advance();
  ASSERT_FALSE(network_.sent.empty());
  pass(limit);
  pass(limit / 2);
  EXPECT_EQ(ends_->of<step_ended>().size(), 1u) << end();
  pass(limit);
  EXPECT_EQ(ends_->of<step_ended>().size(), 2u);
}

TEST_F(Attention, IsNotHurriedByWorkersOfItsOwnNode) {
  ASSERT_NO_FATAL_FAILURE(start(0));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  for (int i = 0; i < 4; ++i)
    pass(long_ago);
  EXPECT_EQ(end(), "none");
}

TEST_F(Attention, SaysNothingOfItsStepsWhenItsDeviceFails) {
  ASSERT_NO_FATAL_FAILURE(start(1));
  run_step();
  advance();
  advance("the device has gone");
  EXPECT_EQ(end(), "none") << "its node ends, and others go on with them";
  EXPECT_TRUE(network_.sent.empty());
  ASSERT_GE(failures_->all.size(), 1u) << "such a rank would fail every step";
  EXPECT_EQ(failures_->of<part_failed>()[0].why, "rank 0: the device has gone");
}

TEST_F(Attention, FailsAtOnceWhenAWorkerSaysThatThereWillBeNoRows) {
  ASSERT_NO_FATAL_FAILURE(start(0));
  ASSERT_NO_FATAL_FAILURE(send_rows());
  auto header = network_.sent[0].second;
  dispatch_key of{rows_id::unpack(header.id), header.layer, header.epoch,
                  header.step};
  say(attention_, rows_refused{of, 1, rows_fault::failed_run});
  EXPECT_EQ(end(), "step_failed: worker 1 refused its rows: its device failed");
}
