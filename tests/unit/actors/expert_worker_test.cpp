/// A real worker of a real model on a real device; the network only writes
/// down what it is given, and keeps it for as long as the test wants.

#include "actors/cast.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/keeping_network.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

using namespace troupe;

namespace {

constexpr uint16_t moe_layer = 1;

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
    worker_ = spawn_expert_worker(*system_, context, parts_,
                                  *parts_->workers[0]);
  }

  void TearDown() override {
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    worker_ = expert_worker{};
    system_.reset(); // waits for it
  }

  uint32_t top_k() const {
    return parts_->config.num_experts_per_tok;
  }

  /// A dispatch of `num_rows` rows by `rank`, in as many slabs as it takes.
  /// Returns the number of the answer to each choice.
  std::vector<uint32_t> dispatch(rank_id rank, uint32_t serial,
                                 uint32_t num_rows,
                                 uint16_t layer = moe_layer) {
    std::vector<int32_t> experts;
    for (uint32_t i = 0; i < num_rows * top_k(); ++i)
      experts.push_back(int32_t(i * 5 % parts_->config.n_routed_experts));
    auto plan = plan_dispatch(parts_->map, 0, experts, top_k(),
                              parts_->traffic.dispatch_rows);
    send_slabs(plan, rank, serial, layer);
    return plan.row_of;
  }

  void send_slabs(const dispatch_plan& plan, rank_id rank, uint32_t serial,
                  uint16_t layer) {
    auto row_bytes = parts_->dispatch_layout.row_bytes();
    for (auto& slab : plan.slabs) {
      auto draft = draft_slab(*parts_->slabs, slab, row_bytes);
      ASSERT_TRUE(draft);
      for (size_t r = 0; r < slab.tokens.size(); ++r)
        fill(draft->rows + r * row_bytes, slab.tokens[r]);
      auto view = read_slab(draft->payload.bytes(), row_bytes);
      ASSERT_TRUE(view) << view.why().message;
      tell(worker_, rows_arrived{rows_id{rank, rows_id::all_workers, 0, serial},
                                 0, layer, slab.first, draft->payload,
                                 std::make_shared<slab_view>(*view), 0});
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

  /// Waits for the answers to so many rows, or a frame without any.
  std::vector<frame> wait_for(uint32_t num_rows) {
    return net_.wait([&](auto& frames) {
      uint64_t bytes = 0;
      for (auto& x : frames) {
        if (x.payload.bytes().empty())
          return true;
        bytes += x.payload.bytes().size();
      }
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
      EXPECT_EQ(x.header.first * parts_->combine_row_bytes, out.size());
      EXPECT_EQ(x.header.kind, frame_class::combine);
      auto bytes = x.payload.bytes();
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
};

} // namespace

TEST_F(ExpertWorker, CutsItsAnswersAndChangesNoBit) {
  start(4u << 20);
  auto row_of = dispatch(0, 1, 40);
  auto whole = wait_for(40);
  EXPECT_EQ(whole.size(), 1u);
  auto want = answers(whole, row_of);
  caf::anon_send_exit(worker_, caf::exit_reason::kill);
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
  parts_->answers = std::make_unique<slab_pool>(std::bit_ceil(bytes));
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
  parts_->answers = std::make_unique<slab_pool>(std::bit_ceil(bytes));
  dispatch(0, 1, 20);
  auto held = wait_for(20);
  dispatch(1, 1, 20);
  dispatch(1, 2, 20);
  dispatch(2, 1, 1, 0); // refused at once, so those before it have arrived
  EXPECT_TRUE(wait_for(1).at(0).payload.bytes().empty());
  held.clear();
  held = wait_for(20);
  EXPECT_EQ(rows_id::unpack(held.at(0).header.id).serial, 2u);
}

TEST_F(ExpertWorker, ForgetsRowsOfALostProcessButNotOfItsSuccessor) {
  for (uint64_t lost : {7u, 100u}) {
    start(4u << 20);
    here_->update([](cast_list& all) {
      all.members = std::make_shared<const view>(view{1, 1, {{"a", 100, {}}}});
    });
    uint64_t bytes = uint64_t{20} * top_k() * parts_->combine_row_bytes;
    parts_->answers = std::make_unique<slab_pool>(std::bit_ceil(bytes));
    dispatch(0, 1, 20);
    auto held = wait_for(20);
    dispatch(1, 1, 20); // waits for room
    tell(worker_, node_lost{0, lost, "a", "it was silent"});
    dispatch(2, 1, 20);
    dispatch(3, 1, 1, 0); // refused at once, so those before it have arrived
    EXPECT_TRUE(wait_for(1).at(0).payload.bytes().empty());
    held.clear();
    held = wait_for(20);
    EXPECT_EQ(rows_id::unpack(held.at(0).header.id).rank, lost == 7 ? 1 : 2);
    held.clear();
    if (lost == 7)
      held = wait_for(20); // of rank 2
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
  }
}

TEST_F(ExpertWorker, SaysSoIfItCannotRunRows) {
  start(4u << 20);
  dispatch(1, 7, 3, 0); // a layer without experts
  auto frames = wait_for(3);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_TRUE(frames[0].payload.bytes().empty());
  auto id = rows_id::unpack(frames[0].header.id);
  EXPECT_EQ(id.rank, 1);
  EXPECT_EQ(id.worker, 0);
  EXPECT_EQ(id.serial, 7u);
}
