/// A real worker of a real model on a real device; the network only writes
/// down what it is given, and keeps it for as long as the test wants.

#include "actors/cast.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/dispatch_plans.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/keeping_network.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

using namespace troupe;

namespace {

constexpr uint16_t moe_layer = 1;

/// What ranks were refused, for a test to wait for.
class refusal_list {
public:
  void push(const rows_refused& x) {
    std::lock_guard lock{mutex_};
    all_.push_back(x);
    changed_.notify_all();
  }

  rows_refused wait() {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds{60},
                                  [&] { return !all_.empty(); }));
    auto out = all_.empty() ? rows_refused{} : all_.front();
    all_.clear();
    return out;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<rows_refused> all_;
};

class ExpertWorker : public testing::Test {
protected:
  void start(uint32_t max_frame_bytes) {
    auto cluster = single_process(2, 1);
    cluster.max_model_len = 256;
    cluster.limits.max_frame_bytes = max_frame_bytes;
    node_options options;
    options.num_threads = 1;
    auto made = load_node_parts(
      cluster, 0, (source_dir() / "examples/nano/model").string(), options);
    ASSERT_TRUE(made) << made.why().message;
    parts_ = *made;
    node_context context;
    context.net = &net_;
    context.counters = &counters_;
    context.log = &log_;
    context.here = here_;
    auto listen = [this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const rows_refused& msg) { refusals_.push(msg); }};
    };
    rank_ = caf::actor_cast<attention>(system_->spawn(listen));
    here_->update([&](cast_list& list) {
      for (rank_id rank = 0; rank < 4; ++rank)
        list.ranks[rank] = rank_;
    });
    worker_ = spawn_expert_worker(*system_, context, parts_,
                                  *parts_->workers[0]);
  }

  void TearDown() override {
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    caf::anon_send_exit(rank_, caf::exit_reason::kill);
    worker_ = expert_worker{};
    rank_ = attention{};
    system_.reset(); // waits for them
  }

  uint32_t top_k() const {
    return parts_->config.num_experts_per_tok;
  }

  /// A dispatch of `num_rows` rows by `rank`, in as many slabs as it takes.
  /// Returns the number of the answer to each choice.
  std::vector<uint32_t> dispatch(rank_id rank, uint32_t serial,
                                 uint32_t num_rows, uint16_t layer = moe_layer,
                                 uint32_t epoch = placement::first_epoch) {
    auto plan = some_plan(num_rows);
    send_slabs(plan, {{rank, 0, serial}, layer, epoch, 5});
    return plan.row_of;
  }

  dispatch_plan some_plan(uint32_t num_rows) const {
    std::vector<int32_t> experts;
    for (uint32_t i = 0; i < num_rows * top_k(); ++i)
      experts.push_back(int32_t(i * 5 % parts_->config.n_routed_experts));
    return plan_dispatch(parts_->maps[0], 0, experts, top_k(),
                         parts_->traffic.dispatch_rows);
  }

  void send_slabs(const dispatch_plan& plan, const dispatch_key& of) {
    auto row_bytes = parts_->dispatch_layout.row_bytes();
    for (auto& slab : plan.slabs) {
      auto draft = draft_slab(*parts_->slabs, slab, row_bytes);
      ASSERT_TRUE(draft);
      for (size_t r = 0; r < slab.tokens.size(); ++r)
        fill(draft->rows + r * row_bytes, slab.tokens[r]);
      auto view = read_slab(draft->payload.bytes(), row_bytes);
      ASSERT_TRUE(view) << view.why().message;
      auto answers = std::make_shared<answer_collector>(
        view->sections, slab.first, parts_->combine_row_bytes,
        parts_->traffic.combine_rows);
      tell(worker_,
           rows_arrived{of, 0, 100, draft->payload,
                        std::make_shared<slab_view>(*view), 0, answers});
    }
  }

  /// e4m3 values that depend on the token, all scales 1.
  void fill(std::byte* row, uint32_t token) const {
    auto values = parts_->dispatch_layout.values_bytes();
    for (uint32_t i = 0; i < values; ++i)
      row[i] = std::byte(0x20 + (token * 7 + i) % 32);
    for (auto i = values; i < parts_->dispatch_layout.row_bytes(); i += 4) {
      float one = 1;
      std::memcpy(row + i, &one, sizeof one);
    }
  }

  /// Waits for the answers to so many rows.
  std::vector<frame> wait_for(uint32_t num_rows) {
    return net_.wait([&](auto& frames) {
      uint64_t bytes = 0;
      for (auto& x : frames)
        bytes += x.payload.bytes().size() - answer_head(1);
      return bytes >= uint64_t{num_rows} * top_k() * parts_->combine_row_bytes;
    });
  }

  /// The answers in the order of the choices; in the frames their numbers go
  /// on without a gap.
  std::vector<std::byte> answers(const std::vector<frame>& frames,
                                 const std::vector<uint32_t>& row_of) const {
    auto bytes = joined(frames);
    EXPECT_EQ(bytes.size(), row_of.size() * parts_->combine_row_bytes);
    std::vector<std::byte> out;
    for (auto row : row_of) {
      auto* from = bytes.data() + row * parts_->combine_row_bytes;
      out.insert(out.end(), from, from + parts_->combine_row_bytes);
    }
    return out;
  }

  std::vector<std::byte> joined(const std::vector<frame>& frames) const {
    std::vector<std::byte> out;
    for (auto& x : frames) {
      EXPECT_EQ(x.header.kind, frame_class::combine);
      EXPECT_EQ(x.header.epoch, placement::first_epoch);
      EXPECT_EQ(x.header.step, 5u);
      auto view = read_answers(x.payload.bytes(), parts_->combine_row_bytes);
      EXPECT_TRUE(view) << view.why().message;
      EXPECT_EQ(view->num_sections(), 1u);
      EXPECT_EQ(view->section(0).first * parts_->combine_row_bytes, out.size());
      auto bytes = view->rows();
      out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
  }

  caf::actor_system_config config_;
  logger log_{"test", log_level::error};
  node_counters counters_;
  std::shared_ptr<directory> here_ = std::make_shared<directory>();
  keeping_network net_;
  std::shared_ptr<node_parts> parts_;
  std::unique_ptr<caf::actor_system> system_
    = std::make_unique<caf::actor_system>(config_);
  expert_worker worker_;
  attention rank_;
  refusal_list refusals_;
};

} // namespace

TEST_F(ExpertWorker, CutsItsAnswersAndChangesNoBit) {
  start(4u << 20);
  auto row_of = dispatch(0, 1, 40);
  auto whole = wait_for(40);
  EXPECT_EQ(whole.size(), 1u);
  auto want = answers(whole, row_of);
  caf::anon_send_exit(worker_, caf::exit_reason::kill);
  caf::anon_send_exit(rank_, caf::exit_reason::kill);
  start(4096);
  row_of = dispatch(0, 1, 40);
  auto cut = wait_for(40);
  EXPECT_GE(cut.size(), want.size() / 4096);
  for (auto& x : cut)
    EXPECT_LE(x.payload.bytes().size(), 4096u);
  EXPECT_EQ(answers(cut, row_of), want);
}

TEST_F(ExpertWorker, KeepsRowsUntilThereIsRoomForTheirAnswers) {
  start(4u << 20);
  uint64_t bytes = uint64_t{20} * top_k() * parts_->combine_row_bytes;
  parts_->answers
    = std::make_unique<slab_pool>(std::bit_ceil(bytes + answer_head(1)));
  dispatch(0, 1, 20);
  auto held = wait_for(20);
  for (rank_id rank = 1; rank < 4; ++rank) {
    dispatch(rank, 1, 20);
    EXPECT_EQ(rows_id::unpack(held.at(0).header.id).rank, rank - 1);
    held.clear(); // only now there is room
    held = wait_for(20);
  }
}

TEST_F(ExpertWorker, ForgetsRowsThatTheirRankHasGivenUp) {
  start(4u << 20);
  uint64_t bytes = uint64_t{20} * top_k() * parts_->combine_row_bytes;
  parts_->answers
    = std::make_unique<slab_pool>(std::bit_ceil(bytes + answer_head(1)));
  dispatch(0, 1, 20);
  auto held = wait_for(20);
  dispatch(1, 1, 20);
  dispatch(1, 2, 20);
  dispatch(2, 1, 1, 0); // refused at once, so those before it have arrived
  EXPECT_EQ(refusals_.wait().of.id.rank, 2);
  held.clear();
  held = wait_for(20);
  EXPECT_EQ(rows_id::unpack(held.at(0).header.id).serial, 2u);
}

TEST_F(ExpertWorker, ForgetsRowsOfALostProcessButNotOfItsSuccessor) {
  for (uint64_t lost : {7u, 100u}) {
    start(4u << 20);
    uint64_t bytes = uint64_t{20} * top_k() * parts_->combine_row_bytes;
    parts_->answers
      = std::make_unique<slab_pool>(std::bit_ceil(bytes + answer_head(1)));
    dispatch(0, 1, 20);
    auto held = wait_for(20);
    dispatch(1, 1, 20); // waits for room
    tell(worker_, node_lost{0, lost, "a", "it was silent"});
    dispatch(2, 1, 20);
    dispatch(3, 1, 1, 0); // refused at once, so those before it have arrived
    EXPECT_EQ(refusals_.wait().of.id.rank, 3);
    held.clear();
    held = wait_for(20);
    EXPECT_EQ(rows_id::unpack(held.at(0).header.id).rank, lost == 7 ? 1 : 2);
    held.clear();
    if (lost == 7)
      held = wait_for(20); // of rank 2
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    caf::anon_send_exit(rank_, caf::exit_reason::kill);
  }
}

TEST_F(ExpertWorker, RefusesWhatItCannotRunAtOnceAndSaysWhy) {
  start(4u << 20);
  dispatch(1, 7, 3, 0);
  auto answer = refusals_.wait();
  EXPECT_EQ(answer.of, (dispatch_key{{1, 0, 7}, 0, placement::first_epoch, 5}));
  EXPECT_EQ(answer.worker, 0);
  EXPECT_EQ(answer.why, rows_fault::unknown_layer);
  dispatch(1, 8, 3, moe_layer, placement::first_epoch - 1);
  EXPECT_EQ(refusals_.wait().why, rows_fault::unknown_epoch);
  dispatch(1, 9, 3, moe_layer, placement::first_epoch + 2);
  EXPECT_EQ(refusals_.wait().why, rows_fault::unknown_epoch);
  auto plan = some_plan(3);
  ++plan.slabs[0].sections[0].experts[0];
  send_slabs(plan, {{1, 0, 10}, moe_layer, placement::first_epoch, 5});
  EXPECT_EQ(refusals_.wait().why, rows_fault::other_occupant);
  plan = some_plan(3);
  plan.slabs[0].sections[0].slots.back().slot = UINT16_MAX;
  send_slabs(plan, {{1, 0, 11}, moe_layer, placement::first_epoch, 5});
  EXPECT_EQ(refusals_.wait().why, rows_fault::unknown_slot);
  parts_->answers = std::make_unique<slab_pool>(1); // smaller than any answer
  dispatch(1, 13, 3);
  EXPECT_EQ(refusals_.wait().why, rows_fault::no_memory);
  parts_->answers = std::make_unique<slab_pool>(1 << 24);
  dispatch(1, 12, 3);
  EXPECT_EQ(wait_for(3).size(), 1u) << "and goes on";
}
