#include "actors/node.hpp"

#include "actors/farewell.hpp"

namespace troupe {

namespace {

/// Of an actor, which has to come to the end of a message on a thread that may
/// have to come to the end of an operation.
constexpr std::chrono::minutes farewell_deadline{5};

node_context make_context(const node_setup& setup, transport* net,
                          node_counters* counters,
                          const std::shared_ptr<directory>& here) {
  node_context out;
  out.incarnation = setup.incarnation;
  out.net = net;
  out.counters = counters;
  out.log = setup.log;
  out.here = here;
  return out;
}

} // namespace

node::node(node_setup setup)
  : setup_(std::move(setup)), router_(here_, *setup_.log),
    pool_(setup_.options.pool), config_(pool_) {
  setup_.options.stop = stop_loading_.get_token();
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
    if (is_open_)
      return router_.route(from, std::move(x));
    post([this, from, x = std::move(x)]() mutable {
      router_.route(from, std::move(x));
    });
  };
  out.on_peer_joined = [this](node_id peer, const node_identity& identity) {
    post([=, this] { on_joined(peer, identity); });
  };
  out.on_peer_lost = [this](node_id peer, uint64_t incarnation,
                            const std::string& why) {
    post([=, this] { on_gone(peer, incarnation, why); });
  };
  out.on_connect_failed = [this](node_id peer, const failure& why) {
    post([=, this] {
      tell(here_->read()->supervisor, peer_missed{peer, why});
    });
  };
  return out;
}

void node::post(std::function<void()> event) {
  std::lock_guard guard{door_};
  node_life::entrance how;
  {
    std::lock_guard lock{mutex_};
    how = life_.for_events();
  }
  if (how == node_life::entrance::wait)
    early_.push_back(std::move(event));
  else if (how == node_life::entrance::go)
    event();
}

void node::on_joined(node_id peer, const node_identity& identity) {
  auto context = make_context(setup_, network_.net.get(), &counters_, here_);
  auto handle = spawn_peer(*system_, context, peer, identity.incarnation);
  // The logger that CAF left on this thread would outlive the system.
  caf::logger::set_current_actor_system(nullptr);
  watch(handle, "peer");
  here_->update([&](cast_list& list) { list.peers[peer] = handle; });
  count_peer(+1);
  if (setup_.cluster && is_over())
    tell(handle, shut_down{}); // it came too late to be told with the others
  tell(
    here_->read()->supervisor,
    peer_joined{peer, {identity.name, identity.incarnation, identity.listen}});
}

void node::on_gone(node_id peer, uint64_t incarnation, const std::string& why) {
  count_peer(-1);
  tell(here_->read()->supervisor, peer_gone{peer, incarnation, why});
}

// -- the cast -----------------------------------------------------------------

supervisor_hooks node::make_hooks() {
  supervisor_hooks out;
  out.connect = network_.connect;
  out.monitor = [this](node_id peer) {
    if (network_.monitor)
      network_.monitor(peer);
  };
  out.close_place = [this](node_id peer, const std::string& why) {
    if (network_.close_place)
      network_.close_place(peer, why);
  };
  out.identify = [this](node_id self, const topology& cluster) {
    if (network_.identify)
      network_.identify(self, cluster);
  };
  out.run_blocking = [this](auto fn) {
    CHECK(!loader_.joinable());
    loader_ = std::thread{std::move(fn)};
  };
  out.progress = setup_.progress;
  out.on_end = [this](auto& cause) { end(cause); };
  return out;
}

void node::spawn_cast() {
  auto context = make_context(setup_, network_.net.get(), &counters_, here_);
  auto hooks = make_hooks();
  auto on_started = [this] {
    std::lock_guard lock{mutex_};
    life_.start();
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
  watch(cast.supervisor, "supervisor");
  watch(cast.gateway, "gateway");
  watch(cast.controller, "controller");
  here_->update([&](cast_list& list) { list = cast; });
  open_stage();
  if (cast.controller)
    tell(cast.controller,
         node_joined{0, {setup_.name, setup_.incarnation, network_.address}});
}

/// A node cannot do without any of its actors. Children are the supervisor's
/// to watch.
template <class Handle>
void node::watch(const Handle& actor, const char* who) {
  if (!actor)
    return;
  actor->attach_functor([this, who](const caf::error& why) {
    if (why == caf::exit_reason::user_shutdown
        || why == caf::exit_reason::unreachable)
      return; // we asked, or nobody needs it any more
    failure cause{errc::step_failed,
                  std::string{"the "} + who
                    + " of this node has died: " + caf::to_string(why)};
    setup_.log->error(cause.message);
    end(cause);
  });
}

/// The cast is there: what the network has said meanwhile finds it.
void node::open_stage() {
  std::lock_guard guard{door_};
  {
    std::lock_guard lock{mutex_};
    life_.act();
  }
  for (auto& event : early_)
    event();
  early_.clear();
  is_open_ = true;
}

void node::join(const endpoint_address& controller,
                std::chrono::milliseconds deadline) {
  CHECK(network_.join);
  network_.join(controller, deadline);
}

// -- waiting ------------------------------------------------------------------

result<void> node::wait_until_started(std::chrono::milliseconds deadline) {
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline,
                    [this] { return life_.at() >= node_life::stage::serving; });
  if (life_.is_over())
    return life_.cause().value_or(
      failure{errc::cancelled, "the node was ended"});
  if (life_.at() != node_life::stage::serving)
    return failure{errc::deadline_passed,
                   "the cluster did not start within "
                     + std::to_string(deadline.count() / 1000) + " s"};
  return {};
}

std::optional<failure> node::wait_until_over() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return life_.is_over(); });
  return life_.cause();
}

void node::request_end() {
  end(std::nullopt);
}

bool node::is_over() {
  std::lock_guard lock{mutex_};
  return life_.is_over();
}

std::optional<failure> node::over() {
  std::lock_guard lock{mutex_};
  return life_.cause();
}

void node::count_peer(int change) {
  std::lock_guard lock{mutex_};
  num_peers_ += static_cast<size_t>(change);
  changed_.notify_all();
}

// -- the end ------------------------------------------------------------------

void node::end(const std::optional<failure>& cause) {
  {
    std::lock_guard lock{mutex_};
    if (!life_.end(cause))
      return;
    changed_.notify_all();
  }
  if (!setup_.status)
    return;
  setup_.status->requests.close(
    cause.value_or(failure{errc::cancelled, "the service has ended"}));
  tell(here_->read()->gateway, shut_down{});
}

void node::shut_down_cluster(std::chrono::milliseconds deadline) {
  end(std::nullopt);
  std::shared_ptr<const cast_list> list;
  {
    std::lock_guard guard{door_}; // whoever joins later is told then
    list = here_->read();
  }
  // First ourselves, so that nobody mourns those who leave.
  tell(list->supervisor, shut_down{});
  tell(list->controller, shut_down{});
  for (auto& [id, peer] : list->peers)
    tell(peer, shut_down{});
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, deadline, [this] { return num_peers_ == 0; });
}

/// From here on no event of the network spawns anybody.
void node::close_stage() {
  std::lock_guard guard{door_};
  std::lock_guard lock{mutex_};
  life_.leave();
}

/// The supervisor goes first: after it nobody spawns anybody, and the list is
/// complete. The loader's last message finds nobody.
void node::end_actors() {
  {
    farewell first{*system_};
    first.bid(here_->read()->supervisor);
    CHECK(first.wait(farewell_deadline));
  }
  if (loader_.joinable())
    loader_.join();
  auto list = here_->read();
  farewell all{*system_};
  all.bid(list->gateway);
  all.bid(list->controller);
  for (auto& [id, x] : list->peers)
    all.bid(x);
  for (auto& [id, x] : list->schedulers)
    all.bid(x);
  for (auto& [id, x] : list->ranks)
    all.bid(x);
  for (auto& [id, x] : list->workers)
    all.bid(x);
  CHECK(all.wait(farewell_deadline));
}

node::~node() {
  if (!system_)
    return;
  end(std::nullopt);
  stop_loading_.request_stop();
  close_stage();
  end_actors();
  // What is left of a step still sends rows and tells actors that have ended.
  // Others may hold the parts for a moment longer; so their streams end here,
  // on no thread of their pool and while there is a network.
  if (auto parts = here_->read()->parts)
    parts->end_streams();
  here_->update([](cast_list& all) { all = {}; });
  network_.net.reset(); // its thread calls us no more
  system_.reset();
}

} // namespace troupe
