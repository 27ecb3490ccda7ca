#include "actors/simulation.hpp"

#include "actors/placement_watch.hpp"
#include "runtime/duration.hpp"

#include <algorithm>
#include <set>

namespace troupe {

namespace {

using std::chrono::milliseconds;

/// Of a company without faults, to serve; of one that ends, to have ended.
constexpr std::chrono::seconds start_limit{60};

/// After the last request: for cancels on their way, and what they free.
constexpr std::chrono::seconds rest{2};

/// The shortest silence that may cost a node or a step: as a peer's clock
/// counts it, after what a healed link still owes.
virtual_duration patience_of(const virtual_company_options& x) {
  auto slack = std::chrono::milliseconds{200} + x.transports.heartbeat_period;
  auto least = std::min<virtual_duration>(
    x.transports.silence_verdict,
    std::chrono::milliseconds{x.cluster.limits.step_timeout_ms});
  auto fast = 1 + double(x.parts.clocks.drift) / 1e6;
  auto left = double((least - slack).count()) / fast;
  return virtual_duration{int64_t(std::max(left, 0.0))};
}

class simulation {
public:
  simulation(uint64_t seed, const simulation_options& options)
    : options_(options), world_(seed), company_(world_, options.company),
      checks_(uint32_t(company_.cluster().nodes.size()),
              uint32_t(options.what.load.requests.size()),
              patience_of(options.company)),
      states_(uint32_t(company_.cluster().nodes.size())),
      clients_(world_, company_, options.what.load, checks_, states_),
      faults_(world_, company_, clients_, checks_) {
    checks_.set_needs(needs_of(company_));
    auto& requests = options.what.load.requests;
    for (uint32_t i = 0; i < requests.size(); ++i) {
      if (auto& wanted = requests[i].request.rank)
        checks_.expect_rank(i, *wanted);
      if (auto& x = requests[i].expected; x && x->is_refusal)
        checks_.expect_refusal(i);
      else if (x)
        checks_.expect(i, *x);
    }
    world_.trace().observe([this](auto& x) { hear(x); });
    company_.observe_caches(
      [this](auto node, auto& op) { look_at_written(node, op); });
    company_.observe_owners([this](auto id, auto rank, auto term) {
      if (auto request = clients_.find(id); request && !is_over_)
        checks_.owned(*request, rank, term);
    });
    company_.observe_losses([this](auto node) {
      checks_.node_lost(node);
      faults_.node_lost(node);
    });
    company_.observe_returns([this](auto node) {
      auto is_later = company_.cluster().nodes[node].later
                      && come_later_.insert(node).second;
      states_.reach(is_later ? sometimes::node_came_later
                             : sometimes::node_came_back);
      checks_.node_back(node);
      faults_.node_back(node);
    });
    company_.observe_waiting(
      [this](auto) { states_.reach(sometimes::request_waited); });
    if (options.on_entry)
      world_.trace().observe(options.on_entry);
  }

  simulation_result run() {
    company_.start_all();
    if (options_.break_the_start)
      begin_faults();
    auto serves = run_until([this] { return company_.is_serving(); },
                            start_limit);
    if (!serves && !checks_.may_have_lost_a_node())
      fail("the company did not start");
    begun_ = world_.now();
    events_before_ = world_.trace().counts();
    if (!driver_)
      begin_faults();
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

  /// Of a world whose time stands still nothing else is said.
  void fail(const std::string& what) {
    if (!is_stuck_)
      failures_.push_back({10, world_.now(), what});
  }

  void begin_faults() {
    driver_.emplace(options_.what.faults, names(), world_.now(), world_.seed(),
                    faults_);
    expect_driver();
  }

  /// So that time does not jump over what is due next.
  void expect_driver() {
    if (driver_->next() != virtual_instant::max())
      world_.at(driver_->next(), [] {});
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
    if (is_stuck_)
      return false;
    if (std::exchange(last_step_, world_.now()) != world_.now())
      num_at_once_ = 0;
    if (++num_at_once_ > options_.most_at_once) {
      fail("time stands still, and something happens again and again");
      is_stuck_ = true;
      return false;
    }
    if (driver_ && driver_->is_due(world_.now())) {
      driver_->act(world_.now());
      expect_driver();
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
    events_in_trouble_ = world_.trace().counts();
  }

  void heal() {
    if (!run_until([this] { return clients_.are_done(); }, options_.calm))
      fail("requests have not ended");
    run_until([] { return false; }, rest);
    // Whoever has come back has to be taken in.
    if (company_.is_whole()
        && !run_until(
          [this] { return company_.is_serving() || !company_.is_whole(); },
          start_limit))
      fail("a company that is whole does not serve");
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
    auto x = std::ranges::find_if(all, [](auto& request) {
      return !request.expected || !request.expected->is_refusal;
    });
    if (x == all.end())
      return;
    auto tokens = std::make_shared<std::vector<int32_t>>();
    auto last = std::make_shared<std::optional<generation_event>>();
    auto id = company_.front()->submit(
      x->request, [tokens, last](const generation_event& x) {
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
    if (x->expected && *tokens != x->expected->tokens)
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
      case trace_kind::node_ended:
        if (driver_ && !is_over_)
          checks_.node_ended(x.node, faults_.was_told_to_end(x.node));
        break;
      case trace_kind::operation_failed:
        states_.reach(sometimes::stream_failed);
        checks_.stream_failed(
          x.node, company_.device_of(x.node)->has_failed_operation(x.a),
          "operation " + std::to_string(x.a));
        break;
      case trace_kind::allocation_failed: // by a fault, there is no other way
        states_.reach(sometimes::allocation_failed);
        checks_.harm_done();
        break;
      case trace_kind::token_emitted:
        hear_token(x);
        break;
      case trace_kind::request_ended:
        look_for_late_blocks();
        break;
      case trace_kind::fault_healed:
        hear_healed(x);
        break;
      case trace_kind::frame_arrived:
        if (std::pair{x.peer, x.node} == healed_
            || std::pair{x.node, x.peer} == healed_)
          states_.reach(sometimes::retransmitted);
        break;
      case trace_kind::frame_refused:
        hear_refusal(x);
        break;
      case trace_kind::message_run:
        look_at(x.node, false);
        break;
      default:
        break;
    }
  }

  void hear_token(const trace_entry& x) {
    token_times_.push_back(x.at);
    auto& prompt = options_.what.load.requests[x.a].request.prompt;
    if (prompt.size() > company_.cluster().limits.max_num_batched_tokens)
      states_.reach(sometimes::prompt_in_chunks);
  }

  /// What comes next over a link that was cut is what the cut held back; of
  /// heartbeats it holds nothing back, they are not sent at all.
  void hear_healed(const trace_entry& x) {
    auto kind = fault_kind(x.b);
    auto is_cut = kind == fault_kind::cut || kind == fault_kind::cut_oneway;
    if (is_cut && faults_.what(x.a).frames != frame_filter::heartbeat
        && faults_.evidence(x.a))
      healed_ = {x.node, x.peer};
  }

  void hear_refusal(const trace_entry& x) {
    if (refusal(x.b) == refusal::stale)
      states_.reach(sometimes::stale_frame_refused);
    if (faults_.has_damaged()) // what is damaged is not always seen to be
      checks_.harm_done();
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
    auto counted = self->core().counters().read();
    if (counted[size_t(counter::preemptions)] > 0)
      states_.reach(sometimes::preempted);
    num_handed_blocks_ = std::max(num_handed_blocks_,
                                  counted[size_t(counter::handed_blocks)]);
    num_host_hits_ = std::max(num_host_hits_,
                              counted[size_t(counter::host_hits)]);
    if (counted[size_t(counter::steps_again)] > 0)
      states_.reach(sometimes::step_again);
    placements_.look_at(node);
    if (node == 0)
      look_at_front(*company_.front());
    if (!list->parts || self->core().is_over())
      return;
    for (auto& rank : list->parts->ranks) {
      auto what = "cache blocks of rank " + std::to_string(rank->id);
      auto& pool = *rank->pool;
      checks_.resource_seen(node, what, pool.num_free(), pool.num_used(),
                            pool.num_blocks());
      if (is_at_rest)
        checks_.resource_at_rest(node, what, rank->cache->num_available(),
                                 pool.num_blocks());
    }
    look_at_slabs(node, *list->parts, is_at_rest);
  }

  void look_at_front(const front_end& front) {
    auto& status = *front.status();
    // Those of lost ranks may be open still.
    auto& all = company_.cluster();
    checks_.queue_seen(0, "the list of open requests",
                       status.requests.counted().open,
                       front_end::max_open(all.limits, all.num_ranks()));
    checks_.events_refused(status.events_refused.exchange(0));
    if (status.requests_moved > 0)
      states_.reach(sometimes::request_moved);
    if (!is_over_)
      num_handed_over_ = std::max(num_handed_over_,
                                  status.requests_handed_over.load());
  }

  /// Blocks that a step writes to, with an operation that is being computed.
  void look_at_written(node_id node, const kernels::append_latent& op) {
    constexpr auto block_tokens = kernels::latent_cache::block_tokens;
    auto* self = company_.find(node);
    auto parts = self ? self->core().here()->read()->parts : nullptr;
    if (!parts)
      return;
    for (auto& rank : parts->ranks) {
      auto all = rank->pool->layer(0).mem;
      if (op.cache.mem.offset - all.offset >= all.bytes)
        continue; // of another rank
      for (auto& x : op.sequences)
        for (auto i = x.first_position / block_tokens;
             i * block_tokens < x.first_position + x.num_rows; ++i)
          checks_.block_written(node, (*x.blocks)[i],
                                rank->pool->is_held((*x.blocks)[i])
                                  && !rank->cache->is_known((*x.blocks)[i]));
    }
  }

  /// All requests have ended, and a rank that waits for rows still has blocks.
  void look_for_late_blocks() {
    if (states_.num_open() > 0 || states_.has(sometimes::block_freed_late))
      return;
    for (node_id n = 0; n < company_.cluster().nodes.size(); ++n) {
      auto* self = company_.find(n);
      auto parts = self ? self->core().here()->read()->parts : nullptr;
      if (!parts || !states_.has_rows_away(n))
        continue;
      for (auto& rank : parts->ranks)
        if (rank->cache->num_available() < rank->pool->num_blocks())
          states_.reach(sometimes::block_freed_late);
    }
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
    out.num_handed_over = num_handed_over_;
    out.num_handed_blocks = num_handed_blocks_;
    out.num_host_hits = num_host_hits_;
    out.num_balanced = placements_.num_balanced();
    out.started = begun_ - world_begin;
    out.length = worked_ - begun_;
    if (!token_times_.empty())
      out.busy = token_times_[token_times_.size() * 9 / 10] - begun_;
    out.events = world_.trace().counts();
    out.events_before = events_before_;
    out.events_in_trouble = events_in_trouble_;
    out.last = world_.trace().last();
    return out;
  }

  const simulation_options& options_;
  world world_;
  virtual_company company_;
  run_checks checks_;
  sometimes_states states_;
  placement_watch placements_{company_, checks_, states_};
  std::set<node_id> come_later_; ///< Those that have come.
  virtual_clients clients_;
  virtual_faults faults_;
  std::optional<fault_driver> driver_; ///< Once the company serves.
  virtual_instant begun_ = world_begin;
  virtual_instant worked_ = world_begin;     ///< Until then.
  std::vector<virtual_instant> token_times_; ///< Ascending.
  /// The ends of a link whose cut has been healed.
  std::pair<node_id, node_id> healed_{no_node, no_node};
  std::vector<violation> failures_;
  std::array<uint64_t, num_trace_kinds> events_before_ = {};
  std::array<uint64_t, num_trace_kinds> events_in_trouble_ = {};
  virtual_instant last_step_ = {};
  uint64_t num_at_once_ = 0; ///< Steps at that instant.
  bool is_stuck_ = false;    ///< There were too many.
  uint64_t num_unexplained_ = 0;
  uint64_t num_handed_over_ = 0;
  uint64_t num_handed_blocks_ = 0;
  uint64_t num_host_hits_ = 0;
  bool is_over_ = false; ///< What happens from now on is not judged.
};

} // namespace

bool simulation_result::holds() const {
  return num_violations == 0
         && std::ranges::none_of(faults, [](auto& x) { return x.fails(); });
}

result<void> check_times(const simulation_options& options) {
  auto refuse = [](const std::string& what, virtual_duration limit) {
    return failure{errc::invalid_input,
                   what + " comes later than " + render_duration(limit)
                     + ", which is how long a run waits for it"};
  };
  for (auto& x : options.what.faults)
    if (std::max(x.at, x.every) > options.trouble)
      return refuse("the fault \"" + describe(x) + "\"", options.trouble);
  auto end = options.trouble + options.calm;
  auto& requests = options.what.load.requests;
  for (size_t i = 0; i < requests.size(); ++i)
    if (requests[i].arrival > end)
      return refuse("request " + std::to_string(i), end);
  return {};
}

simulation_result simulate(uint64_t seed, const simulation_options& options) {
  return simulation{seed, options}.run();
}

} // namespace troupe
