#include "actors/node_core.hpp"

#include "runtime/tracing/traced_transport.hpp"

namespace troupe {

namespace {

/// Whoever has been refused once has met the controller already.
constexpr std::chrono::seconds rejoin_deadline{2};

} // namespace

node_core::node_core(node_setup setup, node_hooks hooks)
  : setup_(std::move(setup)), hooks_(std::move(hooks)),
    router_(here_, *setup_.log) {
}

result<void> node_core::open() {
  auto* spans = setup_.options.spans.get();
  auto handler = make_handler();
  auto made = setup_.make_network(spans ? traced(std::move(handler), *spans)
                                        : std::move(handler));
  if (!made)
    return made.why();
  network_ = std::move(*made);
  if (spans && setup_.status)
    record_requests();
  if (spans)
    network_.net = std::make_unique<traced_transport>(std::move(network_.net),
                                                      *spans);
  return {};
}

/// What becomes of requests, and who has them, is written down.
void node_core::record_requests() {
  auto& status = *setup_.status;
  auto& spans = setup_.options.spans;
  std::shared_ptr<request_log> log{spans, &spans->requests()};
  status.requests.record(log);
  status.on_owner = [log, also = status.on_owner](auto id, auto rank,
                                                  auto term) {
    log->given(id, rank);
    if (also)
      also(id, rank, term);
  };
}

node_context node_core::make_context() {
  node_context out;
  out.incarnation = setup_.incarnation;
  out.net = network_.net.get();
  out.counters = &counters_;
  out.log = setup_.log;
  out.here = here_;
  out.spans = setup_.options.spans.get();
  out.run_blocking = hooks_.run_blocking;
  out.run_writing = hooks_.run_writing;
  return out;
}

// -- how far it has come ------------------------------------------------------

/// Changes what mutex_ guards, and says so where `fn` returns true.
template <class Fn>
void node_core::change(Fn fn) {
  {
    std::lock_guard lock{mutex_};
    if (!fn())
      return;
  }
  hooks_.on_change();
}

node_life::stage node_core::at() const {
  std::lock_guard lock{mutex_};
  return life_.at();
}

bool node_core::is_over() const {
  std::lock_guard lock{mutex_};
  return life_.is_over();
}

std::optional<failure> node_core::cause() const {
  std::lock_guard lock{mutex_};
  return life_.cause();
}

size_t node_core::num_peers() const {
  std::lock_guard lock{mutex_};
  return num_peers_;
}

// -- the network speaks -------------------------------------------------------

transport_handler node_core::make_handler() {
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

void node_core::post(std::function<void()> event) {
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

void node_core::on_joined(node_id peer, const node_identity& identity) {
  auto handle = spawn_peer(*system_, make_context(), peer,
                           identity.incarnation);
  // The logger that CAF left on this thread would outlive the system.
  caf::logger::set_current_actor_system(nullptr);
  watch(handle, "peer");
  here_->update([&](cast_list& list) {
    list.peers[peer] = handle;
    list.processes[peer] = identity.incarnation;
  });
  change([this] {
    ++num_peers_;
    return true;
  });
  if (setup_.cluster && is_over())
    tell(handle, shut_down{}); // it came too late to be told with the others
  tell(
    here_->read()->supervisor,
    peer_joined{peer, {identity.name, identity.incarnation, identity.listen}});
}

void node_core::on_gone(node_id peer, uint64_t incarnation,
                        const std::string& why) {
  change([this] {
    --num_peers_;
    return true;
  });
  tell(here_->read()->supervisor, peer_gone{peer, incarnation, why});
}

// -- the cast -----------------------------------------------------------------

supervisor_hooks node_core::make_hooks() {
  supervisor_hooks out;
  out.connect = network_.connect;
  if (network_.join)
    out.join_again = [this] { network_.join(controller_, rejoin_deadline); };
  out.monitor = [this](node_id peer) {
    if (network_.monitor)
      network_.monitor(peer);
  };
  out.settle_place = [this](node_id peer, const std::string& name,
                            uint64_t incarnation, const std::string& why) {
    if (network_.settle_place)
      network_.settle_place(peer, name, incarnation, why);
  };
  out.identify = [this](node_id self, const topology& cluster) {
    if (setup_.options.spans)
      setup_.options.spans->identify(self);
    if (network_.identify)
      network_.identify(self, cluster);
  };
  out.run_blocking = hooks_.run_blocking;
  out.progress = setup_.progress;
  out.on_end = [this](auto& cause) { end(cause); };
  return out;
}

void node_core::act(caf::actor_system& system) {
  system_ = &system;
  auto context = make_context();
  auto hooks = make_hooks();
  auto on_started = [this] {
    change([this] {
      life_.start();
      return true;
    });
  };
  hooks.on_started = setup_.cluster ? std::function<void()>{[] {}} : on_started;
  cast_list cast;
  cast.supervisor = spawn_supervisor(system, context, setup_.options, hooks);
  if (setup_.cluster) {
    cast.gateway = spawn_gateway(system, context, *setup_.cluster,
                                 setup_.status, on_started);
    cast.controller = spawn_controller(
      system, context, *setup_.cluster, setup_.model_dir, hooks.monitor,
      setup_.state ? setup_.state : make_memory_store(), setup_.begins_with,
      setup_.places);
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
void node_core::watch(const Handle& actor, const char* who) {
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
void node_core::open_stage() {
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

void node_core::join(const endpoint_address& controller,
                     std::chrono::milliseconds deadline) {
  CHECK(network_.join);
  controller_ = controller;
  network_.join(controller, deadline);
}

// -- the end ------------------------------------------------------------------

void node_core::end(const std::optional<failure>& cause) {
  auto was_first = false;
  change([&] { return was_first = life_.end(cause); });
  if (!was_first || !setup_.status)
    return;
  setup_.status->requests.close(
    cause.value_or(failure{errc::cancelled, "the service has ended"}));
  tell(here_->read()->gateway, shut_down{});
}

void node_core::shut_down_cluster() {
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
}

void node_core::leave() {
  std::lock_guard guard{door_};
  std::lock_guard lock{mutex_};
  life_.leave();
}

void node_core::keep_rest(std::function<void()> done) {
  tell(here_->read()->controller,
       troupe::keep_rest{
         std::make_shared<const std::function<void()>>(std::move(done))});
}

void node_core::let_go() {
  // Others may hold the parts for a moment longer; so their streams end here,
  // on no thread of their pool and while there is a network.
  if (auto parts = here_->read()->parts)
    parts->end_streams();
  here_->update([](cast_list& all) { all = {}; });
  network_.net.reset();
}

} // namespace troupe
