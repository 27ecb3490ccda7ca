#include "actors/simulation.hpp"

#include <algorithm>

namespace troupe {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Of a company without faults, to serve; of one that ends, to have ended.
constexpr seconds start_limit{60};

/// After the last request: for cancels on their way, and what they free.
constexpr seconds rest{2};

/// Entries of a node between two looks at what it holds.
constexpr uint64_t entries_between_looks = 64;

class simulation {
public:
  simulation(uint64_t seed, const simulation_options& options)
    : options_(options), world_(seed), company_(world_, options.company),
      checks_(uint32_t(company_.cluster().nodes.size()),
              uint32_t(options.what.load.requests.size()),
              options.company.transports.silence_verdict),
      states_(uint32_t(company_.cluster().nodes.size())),
      clients_(world_, company_, options.what.load, checks_, states_),
      faults_(world_, company_, clients_, checks_) {
    for (uint32_t i = 0; i < options.expected.size(); ++i)
      checks_.expect(i, options.expected[i]);
    world_.trace().observe([this](auto& x) { hear(x); });
    if (options.on_entry)
      world_.trace().observe(options.on_entry);
  }

  simulation_result run() {
    company_.start_all();
    if (!run_until([this] { return company_.is_serving(); }, start_limit))
      fail("the company did not start");
    begun_ = world_.now();
    driver_.emplace(options_.what.faults, names(), begun_, world_.seed(),
                    faults_);
    clients_.begin();
    break_things();
    heal();
    end_all();
    return take_result();
  }

private:
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (auto& node : company_.cluster().nodes)
      out.push_back(node.name);
    return out;
  }

  void fail(const std::string& what) {
    failures_.push_back({10, world_.now(), what});
  }

  // -- phases -----------------------------------------------------------------

  /// Returns whether `done` became true within `limit`.
  template <class Done>
  bool run_until(Done done, virtual_duration limit) {
    auto last = world_.now() + limit;
    while (!done()) {
      if (world_.now() > last || !step())
        return false;
    }
    return true;
  }

  bool step() {
    if (driver_ && driver_->is_due(world_.now())) {
      driver_->act(world_.now());
      // So that time does not jump over what is due next.
      if (driver_->next() != virtual_instant::max())
        world_.at(driver_->next(), [] {});
    }
    checks_.set_now(world_.now());
    return world_.step();
  }

  void break_things() {
    run_until([this] { return clients_.are_done() && driver_->is_idle(); },
              options_.trouble);
    worked_ = world_.now();
    driver_->stop(world_.now());
    company_.spare_devices();
    checks_.faults_stopped();
  }

  void heal() {
    if (!run_until([this] { return clients_.are_done(); }, options_.calm))
      fail("requests have not ended");
    world_.run_for(rest);
    look_at_all(true);
    checks_.finish();
    is_over_ = true;
    if (company_.is_serving())
      return probe();
    end_all();
    company_.start_all();
    if (!run_until([this] { return company_.is_serving(); }, start_limit))
      return fail("the company did not start again");
    probe();
  }

  void end_all() {
    for (node_id n = 0; n < company_.cluster().nodes.size(); ++n)
      company_.crash(n);
  }

  /// A company that is whole answers, and as before.
  void probe() {
    auto& all = options_.what.load.requests;
    if (all.empty())
      return;
    auto tokens = std::make_shared<std::vector<int32_t>>();
    auto last = std::make_shared<std::optional<generation_event>>();
    auto id = company_.front()->submit(
      all[0].request, [tokens, last](const generation_event& x) {
        tokens->insert(tokens->end(), x.tokens.begin(), x.tokens.end());
        if (x.finish != finish_reason::none)
          *last = x;
      });
    if (!id)
      return fail("a company that is whole refuses: " + id.why().message);
    if (!run_until([&] { return last->has_value(); }, options_.calm))
      return fail("a company that is whole does not answer");
    if ((*last)->cause)
      return fail("a company that is whole fails: " + (*last)->cause->message);
    if (!options_.expected.empty() && *tokens != options_.expected[0].tokens)
      fail("a company that is whole answers other tokens");
  }

  // -- what happens -----------------------------------------------------------

  void hear(const trace_entry& x) {
    checks_.set_now(x.at);
    states_.hear(x);
    if (driver_ && !is_over_)
      driver_->hear(x);
    switch (x.kind) {
      case trace_kind::peer_joined:
        checks_.incarnation_seen(x.node, x.peer, x.a);
        break;
      case trace_kind::peer_lost:
        checks_.incarnation_over(x.node, x.peer, x.a);
        break;
      case trace_kind::node_started:
        checks_.node_began(x.node);
        break;
      case trace_kind::operation_failed:
        states_.reach(sometimes::stream_failed);
        break;
      case trace_kind::frame_refused:
        hear_refusal(x);
        break;
      case trace_kind::message_run:
        if (++num_heard_ % entries_between_looks == 0)
          look_at(x.node, false);
        break;
      default:
        break;
    }
  }

  void hear_refusal(const trace_entry& x) {
    if (refusal(x.b) == refusal::stale)
      states_.reach(sometimes::stale_frame_refused);
    if (refusal(x.b) != refusal::damaged)
      return;
    states_.reach(sometimes::damaged_frame_refused);
    auto unexplained = company_.net().num_unexplained();
    checks_.frame_damaged(x.node, unexplained == num_unexplained_);
    num_unexplained_ = unexplained;
  }

  void look_at_all(bool is_at_rest) {
    for (node_id n = 0; n < company_.cluster().nodes.size(); ++n)
      look_at(n, is_at_rest);
  }

  /// At what a node knows and holds.
  void look_at(node_id node, bool is_at_rest) {
    auto* self = company_.find(node);
    if (!self)
      return;
    auto list = self->core().here()->read();
    if (list->members)
      checks_.view_seen(
        node, list->members->number,
        list->members->epochs.empty() ? 0 : list->members->epochs[0]);
    if (!list->parts || self->core().is_over())
      return;
    for (auto& rank : list->parts->ranks) {
      auto what = "cache blocks of rank " + std::to_string(rank->id);
      auto& pool = *rank->pool;
      checks_.resource_seen(node, what, pool.num_free(), pool.num_used(),
                            pool.num_blocks());
      if (is_at_rest)
        checks_.resource_at_rest(node, what, pool.num_free(),
                                 pool.num_blocks());
    }
    look_at_slabs(node, *list->parts, is_at_rest);
  }

  void look_at_slabs(node_id node, const node_parts& parts, bool is_at_rest) {
    auto look = [&](const char* what, const slab_pool& pool) {
      checks_.queue_seen(node, what, pool.in_use(), pool.limit());
      if (is_at_rest)
        checks_.resource_at_rest(node, what, pool.limit() - pool.in_use(),
                                 pool.limit());
    };
    look("bytes of slabs", *parts.slabs);
    look("bytes of answers", *parts.answers);
  }

  // -- what came of it --------------------------------------------------------

  simulation_result take_result() {
    simulation_result out;
    out.seed = world_.seed();
    out.trace_hash = world_.trace().hash();
    out.violations = checks_.violations();
    out.num_violations = checks_.num_violations() + failures_.size();
    out.violations.insert(out.violations.end(), failures_.begin(),
                          failures_.end());
    out.faults = driver_->reports();
    out.requests = clients_.counted();
    out.reached = states_;
    out.started = begun_ - world_begin;
    out.length = worked_ - begun_;
    for (size_t i = 0; i < num_trace_kinds; ++i)
      out.events[i] = world_.trace().count(trace_kind(i));
    out.last = world_.trace().last();
    return out;
  }

  const simulation_options& options_;
  world world_;
  virtual_company company_;
  run_checks checks_;
  sometimes_states states_;
  virtual_clients clients_;
  virtual_faults faults_;
  std::optional<fault_driver> driver_; ///< Once the company serves.
  virtual_instant begun_ = world_begin;
  virtual_instant worked_ = world_begin; ///< Until then.
  std::vector<violation> failures_;
  uint64_t num_heard_ = 0;
  uint64_t num_unexplained_ = 0;
  bool is_over_ = false; ///< What happens from now on is not judged.
};

} // namespace

bool simulation_result::holds() const {
  return num_violations == 0
         && std::ranges::none_of(faults, [](auto& x) { return x.fails(); });
}

simulation_result simulate(uint64_t seed, const simulation_options& options) {
  return simulation{seed, options}.run();
}

} // namespace troupe
