#include "actors/node.hpp"

namespace troupe {

namespace {

node_context make_context(const node_setup& setup, transport* net,
                          node_counters* counters,
                          const std::shared_ptr<directory>& here) {
  node_context out;
  out.net = net;
  out.counters = counters;
  out.log = setup.log;
  out.here = here;
  out.step_timeout = setup.step_timeout;
  return out;
}

} // namespace

node::node(node_setup setup)
  : setup_(std::move(setup)), router_(here_, *setup_.log),
    pool_(setup_.options.pool), config_(pool_) {
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
  auto made = out->setup_.make_network(out->make_handler());
  if (!made)
    return made.why();
  out->network_ = std::move(*made);
  out->system_ = std::make_unique<caf::actor_system>(out->config_);
  out->system_->await_actors_before_shutdown(true);
  out->spawn_cast();
  return out;
}

// -- the network speaks -------------------------------------------------------

transport_handler node::make_handler() {
  transport_handler out;
  out.on_frame = [this](node_id from, frame&& x) {
    // Frames of a peer come after its on_peer_joined, which may still wait.
    if (cast_ready_)
      return router_.route(from, std::move(x));
    post([this, from, x = std::move(x)]() mutable {
      router_.route(from, std::move(x));
    });
  };
  out.on_peer_joined = [this](node_id peer, const node_identity& identity) {
    post([=, this] { on_joined(peer, identity); });
  };
  out.on_peer_lost = [this](node_id peer, const std::string& why) {
    post([=, this] { on_gone(peer, why); });
  };
  out.on_connect_failed = [this](node_id peer, const failure& why) {
    post([=, this] {
      tell(here_->read()->supervisor, peer_gone{peer, why.message});
    });
  };
  return out;
}

void node::post(std::function<void()> event) {
  if (!cast_ready_) {
    std::lock_guard lock{early_mutex_};
    if (!cast_ready_)
      return early_.push_back(std::move(event));
  }
  event();
}

void node::on_joined(node_id peer, const node_identity& identity) {
  auto context = make_context(setup_, network_.net.get(), &counters_, here_);
  auto handle = spawn_peer(*system_, context, peer);
  // The logger that CAF left on this thread would outlive the system.
  caf::logger::set_current_actor_system(nullptr);
  here_->update([&](cast_list& list) { list.peers[peer] = handle; });
  count_peer(+1);
  tell(
    here_->read()->supervisor,
    peer_joined{peer, {identity.name, identity.incarnation, identity.listen}});
}

void node::on_gone(node_id peer, const std::string& why) {
  count_peer(-1);
  tell(here_->read()->supervisor, peer_gone{peer, why});
}

// -- the cast -----------------------------------------------------------------

void node::spawn_cast() {
  auto context = make_context(setup_, network_.net.get(), &counters_, here_);
  supervisor_hooks hooks;
  hooks.connect = network_.connect;
  hooks.monitor = [this](node_id peer) {
    if (network_.monitor)
      network_.monitor(peer);
  };
  hooks.identify = [this](node_id self, const topology& cluster) {
    if (network_.identify)
      network_.identify(self, cluster);
  };
  hooks.run_blocking = [this](auto fn) {
    CHECK(!loader_.joinable());
    loader_ = std::thread{std::move(fn)};
  };
  hooks.progress = setup_.progress;
  hooks.on_end = [this](auto& cause) { end(cause); };
  auto on_started = [this] {
    std::lock_guard lock{mutex_};
    started_ = true;
    changed_.notify_all();
  };
  hooks.on_started = setup_.cluster ? std::function<void()>{[] {}} : on_started;
  cast_list cast;
  cast.supervisor = spawn_supervisor(*system_, context, setup_.options, hooks);
  if (setup_.cluster) {
    cast.gateway = spawn_gateway(*system_, context, *setup_.cluster,
                                 setup_.status, on_started);
    cast.controller = spawn_controller(*system_, context, *setup_.cluster,
                                       setup_.model_dir, hooks.monitor);
  }
  here_->update([&](cast_list& list) { list = cast; });
  {
    std::lock_guard lock{early_mutex_};
    for (auto& event : early_)
      event();
    early_.clear();
    cast_ready_ = true;
  }
  if (cast.controller)
    tell(cast.controller,
         node_joined{0, {setup_.name, setup_.incarnation, network_.address}});
}

void node::join(const endpoint_address& controller) {
  CHECK(network_.connect);
  network_.connect(0, controller);
}

// -- waiting ------------------------------------------------------------------

result<void> node::wait_until_started(std::chrono::milliseconds deadline) {
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline, [this] { return started_ || over_; });
  if (over_)
    return cause_ ? *cause_ : failure{errc::cancelled, "the node was ended"};
  if (!started_)
    return failure{errc::deadline_passed,
                   "the cluster did not start within "
                     + std::to_string(deadline.count() / 1000) + " s"};
  return {};
}

std::optional<failure> node::wait_until_over() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return over_; });
  return cause_;
}

void node::request_end() {
  end(std::nullopt);
}

void node::end(const std::optional<failure>& cause) {
  std::lock_guard lock{mutex_};
  if (!std::exchange(over_, true))
    cause_ = cause;
  changed_.notify_all();
}

void node::count_peer(int change) {
  std::lock_guard lock{mutex_};
  num_peers_ += static_cast<size_t>(change);
  changed_.notify_all();
}

std::optional<failure> node::over() {
  std::lock_guard lock{mutex_};
  return cause_;
}

void node::shut_down_cluster(std::chrono::milliseconds deadline) {
  auto list = here_->read();
  // First ourselves, so that nobody mourns those who leave.
  tell(list->supervisor, shut_down{});
  tell(list->controller, shut_down{});
  for (auto& [id, peer] : list->peers)
    tell(peer, shut_down{});
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline, [this] { return num_peers_ == 0; });
}

node::~node() {
  if (!system_)
    return;
  auto list = here_->read();
  auto kill = [](auto& handle) {
    if (handle)
      caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
  };
  kill(list->supervisor);
  kill(list->gateway);
  kill(list->controller);
  for (auto* group : {&list->peers})
    for (auto& [id, x] : *group)
      kill(x);
  for (auto& [id, x] : list->schedulers)
    kill(x);
  for (auto& [id, x] : list->ranks)
    kill(x);
  for (auto& [id, x] : list->workers)
    kill(x);
  // Streams are not to end on a thread of their pool: the last one who holds
  // the parts is this function.
  if (loader_.joinable())
    loader_.join();
  auto parts = list->parts;
  list.reset();
  here_->update([](cast_list& all) { all = {}; });
  system_.reset(); // waits until all actors have ended
  parts.reset();
  network_.net.reset(); // no thread of ours calls it any more
}

} // namespace troupe
