/// A real worker whose slots are filled and emptied while it serves. The test
/// is its placer and its ranks.

#include "actors/cast.hpp"
#include "runtime/dispatch/slab.hpp"
#include "runtime/model/expert_proof.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/keeping_network.hpp"

#include <gtest/gtest.h>

#include <cstring>

using namespace troupe;

namespace {

constexpr uint16_t moe_layer = 1; ///< Of the model.

/// Messages of one kind, for a test to wait for.
template <class T>
class inbox {
public:
  void push(const T& x) {
    std::lock_guard lock{mutex_};
    all_.push_back(x);
    changed_.notify_all();
  }

  T wait() {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds{60},
                                  [&] { return !all_.empty(); }));
    if (all_.empty())
      return {};
    auto out = all_.front();
    all_.erase(all_.begin());
    return out;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> all_;
};

class ExpertWorkerSlots : public testing::Test {
protected:
  /// Worker 0 of two, with two slots to spare.
  void SetUp() override {
    auto cluster = single_process(1, 2);
    cluster.max_model_len = 256;
    cluster.units = cluster.all_units();
    cluster.units[0].spare_expert_slots = 2;
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
    auto hear_ranks = [this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const rows_refused& msg) { refusals_.push(msg); }};
    };
    auto hear_placer = [this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const slots_changed& msg) { changes_.push(msg); }};
    };
    rank_ = caf::actor_cast<attention>(system_->spawn(hear_ranks));
    placer_ = caf::actor_cast<placer>(system_->spawn(hear_placer));
    here_->update([&](cast_list& list) {
      list.ranks[0] = rank_;
      list.placer = placer_;
    });
    worker_ = spawn_expert_worker(*system_, context, parts_,
                                  *parts_->workers[0]);
    first_free_ = uint16_t(parts_->maps[0].slots_of(0) - 2);
  }

  void TearDown() override {
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    caf::anon_send_exit(rank_, caf::exit_reason::kill);
    caf::anon_send_exit(placer_, caf::exit_reason::kill);
    worker_ = expert_worker{};
    rank_ = attention{};
    placer_ = placer{};
    here_->update([](cast_list& list) { list = {}; });
    system_.reset(); // waits for them
  }

  /// One that worker 1 has.
  uint16_t foreign() const {
    return uint16_t(parts_->config.n_routed_experts - 1);
  }

  expert_order order(uint16_t slot, uint16_t expert) const {
    return {{0, slot, expert},
            *expert_digest(parts_->digests, moe_layer, expert)};
  }

  slots_changed change(slots_step step, uint32_t epoch,
                       std::vector<expert_order> slots = {}) {
    tell(worker_, change_slots{7, 0, step, epoch, std::move(slots)});
    return step == slots_step::load || step == slots_step::retire
             ? changes_.wait()
             : slots_changed{};
  }

  /// A row for one slot, by the placement of an epoch.
  void ask(uint16_t slot, uint16_t expert, uint32_t epoch, uint32_t serial,
           worker_id worker = 0) {
    slab_plan plan;
    plan.tokens = {0};
    plan.sections.push_back({worker, {{slot, 0, 1}}, {0}, {expert}});
    auto row_bytes = parts_->dispatch_layout.row_bytes();
    auto draft = draft_slab(*parts_->slabs, plan, row_bytes);
    ASSERT_TRUE(draft);
    std::memset(draft->rows, 0x30, row_bytes);
    auto view = read_slab(draft->payload.bytes(), row_bytes);
    ASSERT_TRUE(view) << view.why().message;
    auto answers = std::make_shared<answer_collector>(
      view->sections, 0, parts_->combine_row_bytes,
      parts_->traffic.combine_rows);
    tell(worker_, rows_arrived{{{0, 0, serial}, moe_layer, epoch, 5},
                               0,
                               100,
                               draft->payload,
                               std::make_shared<slab_view>(*view),
                               0,
                               answers});
  }

  /// What comes back.
  std::vector<std::byte> answer(uint16_t slot, uint16_t expert,
                                uint32_t epoch) {
    ask(slot, expert, epoch, ++serial_);
    auto frames = net_.wait([](auto& all) { return !all.empty(); });
    auto bytes = frames.back().payload.bytes();
    return {bytes.begin(), bytes.end()};
  }

  rows_fault refusal_of(uint16_t slot, uint16_t expert, uint32_t epoch) {
    ask(slot, expert, epoch, ++serial_);
    return refusals_.wait().why;
  }

  uint64_t count(counter x) const {
    return counters_.read()[size_t(x)];
  }

  keeping_network net_;
  node_counters counters_;
  logger log_{"test", log_level::error};
  std::shared_ptr<directory> here_ = std::make_shared<directory>();
  std::shared_ptr<node_parts> parts_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_
    = std::make_unique<caf::actor_system>(config_);
  inbox<rows_refused> refusals_;
  inbox<slots_changed> changes_;
  attention rank_;
  placer placer_;
  expert_worker worker_;
  uint16_t first_free_ = 0;
  uint32_t serial_ = 0;
};

TEST_F(ExpertWorkerSlots, AnswerForWhoHasComeAsTheOneWhoWasThereBefore) {
  auto slot = first_free_;
  EXPECT_EQ(refusal_of(slot, foreign(), 2), rows_fault::other_occupant);
  EXPECT_EQ(change(slots_step::load, 1, {order(slot, foreign())}).failure, "");
  EXPECT_EQ(count(counter::slots_loading), 1u);
  auto come = answer(slot, foreign(), 2);
  change(slots_step::serve, 2, {order(0, 0)});
  EXPECT_EQ(answer(slot, foreign(), 2), come);
  auto old = answer(0, 0, 1); // of the epoch before
  EXPECT_EQ(count(counter::sections_behind), 1u);
  EXPECT_EQ(refusal_of(0, 0, 2), rows_fault::other_occupant);
  EXPECT_EQ(change(slots_step::retire, 2).failure, "");
  EXPECT_EQ(refusal_of(1, 1, 1), rows_fault::unknown_epoch);
  // It comes back to another slot, and its place is taken.
  EXPECT_EQ(change(slots_step::load, 2,
                   {order(0, foreign()), order(uint16_t(slot + 1), 0)})
              .failure,
            "");
  change(slots_step::serve, 3, {order(slot, foreign())});
  EXPECT_EQ(answer(0, foreign(), 3), come);
  EXPECT_EQ(answer(uint16_t(slot + 1), 0, 3), old);
}

TEST_F(ExpertWorkerSlots, ForgetWhatWasLoadedForNothing) {
  EXPECT_EQ(change(slots_step::load, 1, {order(first_free_, 3)}).failure, "");
  change(slots_step::drop, 1);
  EXPECT_EQ(refusal_of(first_free_, 3, 2), rows_fault::other_occupant);
  EXPECT_EQ(count(counter::slots_free), 2 * parts_->config.num_moe_layers());
  EXPECT_EQ(change(slots_step::load, 1, {order(first_free_, 3)}).failure, "");
}

TEST_F(ExpertWorkerSlots, TakeNoOtherExpertThanTheOneThatIsMeant) {
  auto wrong = order(first_free_, 3);
  wrong.proof.low ^= 1;
  auto why = change(slots_step::load, 1, {wrong}).failure;
  EXPECT_NE(why.find("is not the one of the controller's model"), why.npos)
    << why;
  change(slots_step::drop, 1);
  EXPECT_NE(change(slots_step::load, 1, {order(0, 3)}).failure, "")
    << "it is not free";
}

} // namespace
