#include "actors/node.hpp"

#include "actors/farewell.hpp"

#include <future>

namespace troupe {

namespace {

/// Of an actor, which has to come to the end of a message on a thread that may
/// have to come to the end of an operation.
constexpr std::chrono::minutes farewell_deadline{5};

} // namespace

node::node(node_setup setup)
  : pool_(setup.options.pool),
    writer_(setup.cluster ? std::make_unique<task_queue>(1) : nullptr),
    disk_patience_(setup.disk_patience), log_(setup.log),
    core_(complete(std::move(setup)), make_hooks()), config_(pool_) {
}

node_setup node::complete(node_setup setup) {
  setup.options.stop = stop_loading_.get_token();
  return setup;
}

node_hooks node::make_hooks() {
  node_hooks out;
  out.on_change = [this] {
    std::lock_guard lock{mutex_};
    changed_.notify_all();
  };
  out.run_blocking = [this](auto fn) {
    loader_.post(1, std::move(fn)); // else the node ends
  };
  if (writer_)
    out.run_writing = [this](auto fn) {
      writer_->post(1, std::move(fn)); // likewise
    };
  return out;
}

result<std::unique_ptr<node>> node::start(node_setup setup) {
  auto num_threads = setup.options.num_threads;
  if (num_threads == 0 || num_threads > max_threads)
    return failure{errc::invalid_input,
                   "a node has from 1 to " + std::to_string(max_threads)
                     + " threads, not " + std::to_string(num_threads)};
  setup.options.pool = kernels::thread_pool::start(num_threads);
  if (!setup.options.pool)
    return failure{errc::out_of_memory, "the system does not give "
                                          + std::to_string(num_threads)
                                          + " threads"};
  std::unique_ptr<node> out{new node{std::move(setup)}};
  if (auto made = out->core_.open(); !made)
    return made.why();
  out->system_ = std::make_unique<caf::actor_system>(out->config_);
  out->system_->await_actors_before_shutdown(true);
  out->core_.act(*out->system_);
  return out;
}

void node::join(const endpoint_address& controller,
                std::chrono::milliseconds deadline) {
  core_.join(controller, deadline);
}

// -- waiting ------------------------------------------------------------------

result<void> node::wait_until_started(std::chrono::milliseconds deadline) {
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline,
                    [this] { return core_.at() >= node_life::stage::serving; });
  auto at = core_.at();
  if (at == node_life::stage::serving)
    return {};
  if (at > node_life::stage::serving)
    return core_.cause().value_or(
      failure{errc::cancelled, "the node was ended"});
  return failure{errc::deadline_passed,
                 "the cluster did not start within "
                   + std::to_string(deadline.count() / 1000) + " s"};
}

std::optional<failure> node::wait_until_over() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return core_.is_over(); });
  return core_.cause();
}

void node::request_end() {
  core_.end(std::nullopt);
}

std::optional<failure> node::over() {
  return core_.cause();
}

// -- the end ------------------------------------------------------------------

void node::shut_down_cluster(std::chrono::milliseconds deadline) {
  core_.shut_down_cluster();
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline, [this] { return core_.num_peers() == 0; });
}

/// What waits for the disk is written, too, if that takes no longer than it
/// may. A write that hangs is left alone: nobody waits for its end.
void node::end_writing() {
  auto kept = std::make_shared<std::promise<void>>();
  auto heard = kept->get_future();
  core_.keep_rest([kept = std::move(kept)] { kept->set_value(); });
  auto limit = disk_patience_;
  if (heard.wait_for(limit) != std::future_status::ready)
    limit = {};
  if (!writer_->stop_within(limit))
    log_->error("the disk takes too long: what was last to be kept of the "
                "cluster may be lost");
}

/// The supervisor goes first: after it nobody spawns anybody, and the list is
/// complete. The loader's last message finds nobody.
void node::end_actors() {
  auto& here = *core_.here();
  {
    farewell first{*system_};
    first.bid(here.read()->supervisor);
    CHECK(first.wait(farewell_deadline));
  }
  loader_.stop();
  if (writer_)
    end_writing();
  farewell all{*system_};
  here.read()->for_each([&](auto& x) { all.bid(x); });
  CHECK(all.wait(farewell_deadline));
}

node::~node() {
  if (!system_)
    return;
  core_.end(std::nullopt);
  stop_loading_.request_stop();
  core_.leave();
  end_actors();
  core_.let_go();
  system_.reset();
}

} // namespace troupe
