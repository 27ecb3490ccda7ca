#include "tests/model_files.hpp"
#include "tests/unit/actors/actor_fixture.hpp"

using namespace troupe;

namespace {

constexpr std::chrono::milliseconds tick_period{250};

/// A supervisor on the node of the gateway, without ranks and workers.
class Supervisor : public actor_fixture {
protected:
  Supervisor() {
    context_.here->update([this](cast_list& list) {
      list.gateway = spawn_listener<gateway>(front_);
      list.controller = spawn_listener<controller>(news_);
    });
    supervisor_hooks hooks;
    hooks.connect = [](auto, auto&) {};
    hooks.monitor = [](auto) {};
    hooks.settle_place = [](auto, auto&, auto, auto&) {};
    hooks.identify = [](auto, auto&) {};
    hooks.on_end = [this](auto& cause) { ends_.push_back(cause); };
    hooks.run_blocking = [this](auto fn) { loads_.push_back(std::move(fn)); };
    hooks.progress = [this](auto& what, auto, auto) {
      if (on_progress_)
        on_progress_(what);
    };
    supervisor_ = spawn_supervisor(system_, context_, {}, hooks);
    scheduler_.run();
  }

  ~Supervisor() override {
    caf::anon_send_exit(supervisor_, caf::exit_reason::kill);
    auto list = context_.here->read();
    for (auto& [id, x] : list->schedulers)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    for (auto& [id, x] : list->ranks)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    for (auto& [id, x] : list->workers)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    context_.here->update([](cast_list& all) { all = {}; });
    scheduler_.run();
  }

  static std::shared_ptr<node_parts> no_parts() {
    auto out = std::make_shared<node_parts>();
    out->maps.resize(1);
    out->cluster = local(2, 1, 1);
    return out;
  }

  void pass_ticks(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      scheduler_.advance_time(tick_period);
      scheduler_.run();
    }
  }

  size_t num_reports() const {
    return front_->of<node_report>().size();
  }

  std::shared_ptr<heard<node_report>> front_
    = std::make_shared<heard<node_report>>();
  std::shared_ptr<heard<node_loaded, model_known, node_joined, node_connected>>
    news_ = std::make_shared<
      heard<node_loaded, model_known, node_joined, node_connected>>();
  std::vector<std::function<void()>> loads_;
  std::function<void(const std::string& what)> on_progress_;
  std::vector<std::optional<failure>> ends_;
  supervisor supervisor_;
};

} // namespace

TEST_F(Supervisor, EndsTheNodeWithADeviceThatHasFailed) {
  say(supervisor_, parts_loaded{no_parts(), std::nullopt});
  say(supervisor_, part_failed{"worker 3: the device has gone"});
  say(supervisor_, part_failed{"rank 0: the device has gone"});
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0]->message, "worker 3: the device has gone");
}

TEST_F(Supervisor, ReportsWhatIsNewWithTheNextTick) {
  say(supervisor_, parts_loaded{no_parts(), std::nullopt});
  for (uint64_t i = 1; i <= 3; ++i) {
    counters_.add(counter::steps);
    pass_ticks(1);
    ASSERT_EQ(num_reports(), i);
    EXPECT_EQ(front_->all.size(), i);
    EXPECT_EQ(front_->of<node_report>()[i - 1].values[size_t(counter::steps)],
              i);
  }
}

TEST_F(Supervisor, ReportsThatNothingHappensOnlyNowAndThen) {
  say(supervisor_, parts_loaded{no_parts(), std::nullopt});
  counters_.add(counter::steps);
  pass_ticks(3);
  ASSERT_EQ(num_reports(), 1u);
  EXPECT_FALSE(front_->of<node_report>()[0].loads);
  pass_ticks(1); // once a second what the parts have done is told, if it is new
  ASSERT_EQ(num_reports(), 2u);
  EXPECT_TRUE(front_->of<node_report>()[1].loads);
  pass_ticks(19);
  EXPECT_EQ(num_reports(), 2u);
  pass_ticks(1);
  EXPECT_EQ(num_reports(), 3u);
  pass_ticks(40);
  EXPECT_EQ(num_reports(), 5u);
}

TEST_F(Supervisor, EndsOnce) {
  say(supervisor_, parts_loaded{nullptr, failure{errc::io, "no such file"}});
  say(supervisor_, shut_down{});
  ASSERT_EQ(ends_.size(), 1u);
  ASSERT_TRUE(ends_[0]);
  EXPECT_EQ(ends_[0]->message, "no such file");
}

/// The verdict was on its way when its process ended and another one came.
TEST_F(Supervisor, DoesNotEndForItsPredecessorsLoss) {
  context_.here->update(
    [](cast_list& list) { list.controller = controller{}; });
  say(supervisor_, node_lost{1, 77, "b", "was killed"});
  EXPECT_TRUE(ends_.empty());
}

/// A view may be older than what the controller has decided since.
TEST_F(Supervisor, OfTheControllerPartsNobodyWhoHasJoined) {
  say(supervisor_, parts_loaded{no_parts(), std::nullopt});
  say(supervisor_, peer_joined{1, {"b", 78, {}}});
  view members{1, {placement::first_epoch}, {}};
  members.members.push_back({"a", context_.incarnation, {}});
  members.members.push_back({"b", 77, {}});
  say(supervisor_, view_published{std::make_shared<const view>(members)});
  EXPECT_TRUE(net_.given_up.empty());
}

TEST_F(Supervisor, TakesNoPartsOnceItIsOver) {
  say(supervisor_, shut_down{});
  say(supervisor_, parts_loaded{no_parts(), std::nullopt});
  EXPECT_FALSE(context_.here->read()->parts);
  EXPECT_TRUE(news_->all.empty());
}

TEST_F(Supervisor, SaysWhatItComputesWithBeforeItLoadsAndReadsTheModelAfter) {
  auto cluster = local(2, 1, 1);
  cluster.max_model_len = 64;
  auto model = golden_case("v3-fp8");
  say(supervisor_, welcome{0, render(cluster), model.string()});
  ASSERT_EQ(loads_.size(), 1u);
  loads_[0]();
  scheduler_.run();
  auto said = news_->of<node_loaded>();
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].what.settings.find("\nhidden_size "), std::string::npos);
  EXPECT_EQ(said[0].what.target, "") << "the front computes nothing";
  EXPECT_FALSE(said[0].what.is_complete);
  EXPECT_TRUE(said[1].what.is_complete);
  auto known = news_->of<model_known>();
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(known[0].digests->size(), checkpoint::open(model)->names().size());
  EXPECT_TRUE(ends_.empty());
}

TEST_F(Supervisor, EndsIfItsModelCannotBeReadToTheEnd) {
  auto model = scratch_dir();
  for (auto name : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(golden_case("v3-fp8") / name, model / name);
  on_progress_ = [&](const std::string& what) {
    EXPECT_EQ(what, "digests of the model");
    std::filesystem::resize_file(model / "model.safetensors", 1000);
  };
  auto cluster = local(2, 1, 1);
  cluster.max_model_len = 64;
  say(supervisor_, welcome{0, render(cluster), model.string()});
  loads_.at(0)();
  scheduler_.run();
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0]->message, (model / "model.safetensors").string()
                                 + " changed while it was read");
  EXPECT_TRUE(news_->of<model_known>().empty());
}

TEST_F(Supervisor, ReadsNoWholeModelForItselfAlone) {
  auto cluster = single_process(1, 1);
  cluster.max_model_len = 64;
  say(supervisor_, welcome{0, render(cluster), golden_case("v3-fp8").string()});
  loads_.at(0)();
  scheduler_.run();
  auto said = news_->of<node_loaded>();
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].what.target, "");
  EXPECT_FALSE(said[1].what.tensors.empty());
  EXPECT_TRUE(news_->of<model_known>().empty());
}

TEST_F(Supervisor, LoadsNothingOnceItIsOver) {
  say(supervisor_, shut_down{});
  say(supervisor_, welcome{0, render(local(2, 1, 1)), "/models/nano"});
  EXPECT_TRUE(loads_.empty());
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_FALSE(ends_[0]);
}
