// The commit point of every request: who owns it, what its client has got.
//
//   accepted --rank chosen--> running --last event committed--> gone
//       \                     |    ^ \--client_gone--> cancelled --> gone
//        \           its rank |    | term + 1, behind what is committed
//         \           is lost v    |
//          \               another rank
//           \--nobody is left that can run it--> failed, names the node
//
// Who hears of it is open_requests' to know, which ends without this actor too.

#include "actors/cast.hpp"
#include "runtime/cluster/repair_plan.hpp"
#include "runtime/cluster/request_journal.hpp"
#include "runtime/planted.hpp"

#include <set>

namespace troupe {

namespace {

/// So many processes may die that had a request in their step: it may be what
/// kills them.
constexpr uint32_t most_deaths = 2;

struct gateway_state {
  static constexpr const char* name = "gateway";

  node_context context;
  topology cluster;
  std::shared_ptr<gateway_status> status;
  std::unique_ptr<request_journal> journal;
  std::map<node_id, node_lost> lost;
  std::optional<node_id> missing; ///< Of them: it took the last of an expert.
  bool is_awaited = false;        ///< Who has it is to get a successor.
  std::optional<placement> map;   ///< The newest; none: as it began.
  std::optional<node_id> last_with_ranks; ///< Of them.
  std::function<void()> on_started;
  bool started = false;

  // -- what is there ----------------------------------------------------------

  /// The last one of those who had all replicas of an expert, without which no
  /// rank can finish a step, if none is loaded elsewhere; or null.
  const node_lost* missing_worker() const {
    return missing && !is_awaited ? &lost.at(*missing) : nullptr;
  }

  /// `last` is the last of those who are lost and had workers.
  void look_for_missing(node_id last) {
    std::set<node_id> gone;
    for (auto& [node, x] : lost)
      if (!cluster.nodes[node].workers.empty())
        gone.insert(node);
    if (!gone.contains(last))
      return;
    auto left = placement_left_by(gone);
    missing.reset();
    if (left && left->num_waiting() == 0)
      return;
    missing = last;
    is_awaited = left && can_repair(*left, gone);
  }

  /// Nothing before the parts are there.
  std::optional<placement>
  placement_left_by(const std::set<node_id>& gone) const {
    if (map)
      return map->left_by(gone);
    auto parts = context.here->read()->parts;
    return parts ? std::optional{parts->map.left_by(gone)} : std::nullopt;
  }

  /// Who had waited for an expert may have it again.
  void take(const placement_published& msg) {
    auto next = context.here->read()->parts->map.with(*msg.map);
    CHECK(next); // it is our own node's
    map = std::move(*next);
    if (missing)
      look_for_missing(*missing); // it may be of before the last loss
    publish_trouble();
    if (auto* why = missing_worker())
      end_all(*why);
  }

  /// There is no room for who is missing, or nobody to read it from.
  void give_up(const experts_given_up&) {
    if (!missing || !is_awaited)
      return;
    is_awaited = false;
    publish_trouble();
    auto ended = end_all(lost.at(*missing));
    context.log->warning(sentence(lost.at(*missing)) + "; "
                         + std::to_string(ended) + " requests end with it");
  }

  uint64_t end_all(const node_lost& why) {
    auto all = journal->all();
    for (auto id : all)
      end_early(id, {errc::peer_lost, sentence(why)});
    return all.size();
  }

  std::vector<rank_id> usable_ranks() const {
    std::vector<rank_id> out;
    for (uint32_t r = 0; r < cluster.num_ranks(); ++r)
      if (!lost.contains(cluster.node_of_rank(r)))
        out.push_back(rank_id(r));
    return out;
  }

  /// The lost node without which nobody can run `what`; or null.
  const node_lost* obstacle(const generation_request& what) const {
    if (auto* x = missing_worker())
      return x;
    if (what.rank) {
      auto i = lost.find(cluster.node_of_rank(*what.rank));
      return i == lost.end() ? nullptr : &i->second;
    }
    return usable_ranks().empty() ? &lost.at(*last_with_ranks) : nullptr;
  }

  void publish_trouble() {
    std::string text;
    if (!started)
      text = "the cluster is starting";
    for (auto& [node, x] : lost)
      text += (text.empty() ? "" : "; ") + sentence(x);
    if (missing && is_awaited)
      text += "; its experts are being loaded elsewhere";
    auto can_serve = started && !missing && !usable_ranks().empty();
    std::lock_guard lock{status->mutex};
    status->trouble = text;
    status->nodes_lost = lost.size();
    status->lost.clear();
    for (auto& [node, x] : lost)
      status->lost[node] = x.why;
    status->refusal = can_serve ? "" : text;
    status->usable_ranks = static_cast<uint32_t>(usable_ranks().size());
  }

  // -- requests ---------------------------------------------------------------

  void accept(const accept_request& msg) {
    if (!status->requests.has(msg.request))
      return; // all were closed meanwhile
    status->prompt_tokens += msg.what->prompt.size();
    if (auto* x = obstacle(*msg.what))
      return end_early(msg.request, {errc::peer_lost, sentence(*x)});
    auto usable = usable_ranks();
    if (msg.what->rank)
      usable = {rank_id(*msg.what->rank)};
    hand_over(msg.request, journal->accept(msg.request, msg.what, usable));
  }

  /// Its owner goes on behind what has been committed.
  void hand_over(request_id id, request_journal::owner to) {
    if (status->on_owner)
      status->on_owner(id, to.rank, to.term);
    run_request message{id, to.term, 0, to.rank, journal->what(id), {}};
    if (!PLANTED(answer_lost_at_move))
      message.answered = journal->answered(id);
    tell_rank(to.rank, std::move(message));
  }

  template <class Message>
  void tell_rank(rank_id rank, Message message) {
    auto list = context.here->read();
    if (auto i = list->schedulers.find(rank); i != list->schedulers.end())
      return tell(scheduler{i->second}, std::move(message));
    auto node = cluster.node_of_rank(rank);
    if (auto i = list->peers.find(node); i != list->peers.end())
      tell(scheduler{i->second}, std::move(message));
  }

  /// Ends a request for its client now and frees what its rank holds.
  void end_early(request_id id, const failure& cause) {
    withdraw(id);
    status->requests.fail(id, cause);
  }

  void withdraw(request_id id) {
    if (auto owner = journal->remove(id))
      tell_rank(owner->rank, cancel_request{id, owner->rank, owner->term});
  }

  void commit(const tokens_ready& msg) {
    using verdict = request_journal::verdict;
    auto event = msg.event;
    if (journal->may_repeat_scores(msg.request))
      event = std::make_shared<const generation_event>(
        journal->without_known_scores(msg.request, *event));
    auto what = journal->commit(msg.request, msg.term, *event);
    if (what == verdict::committed) {
      if (!is_empty(*event))
        status->requests.deliver(msg.request, *event);
      return;
    }
    if (what == verdict::unknown || what == verdict::outdated)
      return; // it was cancelled meanwhile, or given to another rank
    ++status->events_refused;
    if (what == verdict::gap)
      // Nothing that comes later could be committed: nobody is to wait for it.
      end_early(msg.request,
                {errc::step_failed, "tokens were lost on their way"});
    else
      context.log->warning("request " + std::to_string(msg.request)
                           + ": refused a token of another term or position");
  }

  /// All that it said was known.
  static bool is_empty(const generation_event& x) {
    return x.tokens.empty() && x.prompt_scores.empty()
           && x.finish == finish_reason::none;
  }

  void cancel(request_id id) {
    end_early(id, {errc::cancelled, "the request was cancelled"});
  }

  /// The clients have been told; the ranks need not go on.
  void shut_down() {
    for (auto id : journal->all())
      withdraw(id);
  }

  // -- the cluster ------------------------------------------------------------

  void lose(const node_lost& msg) {
    if (is_late(*context.here->read(), msg)
        || !lost.emplace(msg.node, msg).second)
      return;
    look_for_missing(msg.node);
    if (!cluster.nodes[msg.node].ranks.empty())
      last_with_ranks = msg.node;
    if (status->on_lost)
      status->on_lost(msg.node);
    publish_trouble();
    forget_gauges(msg.node);
    uint64_t moved = 0, ended = 0;
    auto count = [&](bool goes_on) { ++(goes_on ? moved : ended); };
    for (auto rank : cluster.nodes[msg.node].ranks) {
      auto in_step = cluster.limits.max_num_running();
      for (auto id : journal->requests_of(rank_id(rank))) {
        // It runs the oldest that it has.
        auto was_run = in_step > 0 && in_step-- > 0;
        count(move(id, was_run, msg));
      }
    }
    if (missing_worker())
      ended += end_all(msg);
    if (moved + ended > 0)
      context.log->warning(sentence(msg) + "; " + std::to_string(moved)
                           + " requests go on elsewhere, "
                           + std::to_string(ended) + " end with it");
  }

  /// Gives a request of a lost rank to another one. Returns whether it could.
  bool move(request_id id, bool was_run, const node_lost& from) {
    if (auto* x = obstacle(*journal->what(id))) {
      end_early(id, {errc::peer_lost, sentence(*x)});
      return false;
    }
    if (was_run && journal->mark(id) >= most_deaths) {
      end_early(id, {errc::quarantined, sentence(from)
                                          + ", as was who computed the request "
                                            "before: it is not tried again"});
      return false;
    }
    ++status->requests_moved;
    hand_over(
      id, journal->raise(id, was_run ? ranks_for_a_suspect() : usable_ranks()));
    return true;
  }

  /// Who may have killed a rank is not to kill this node, if there are others.
  std::vector<rank_id> ranks_for_a_suspect() const {
    auto all = usable_ranks();
    auto others = all;
    std::erase_if(others, [this](auto rank) {
      return cluster.node_of_rank(rank) == context.node;
    });
    return others.empty() ? all : others;
  }

  void report(const node_report& msg) {
    {
      std::lock_guard lock{status->mutex};
      if (msg.node < status->reports.size()) {
        status->reports[msg.node] = msg;
        status->reports[msg.node].loads = nullptr;
        if (msg.loads)
          status->loads[msg.node] = msg.loads;
      }
    }
    if (lost.contains(msg.node))
      forget_gauges(msg.node); // it was on its way
  }

  /// What it has counted stays; what it had is gone.
  void forget_gauges(node_id node) {
    std::lock_guard lock{status->mutex};
    auto& values = status->reports[node].values;
    for (auto x : {counter::running, counter::waiting, counter::kv_blocks_total,
                   counter::kv_blocks_free, counter::kv_blocks_cached})
      values[size_t(x)] = 0;
  }

  void start() {
    started = true;
    publish_trouble();
    if (on_started)
      on_started();
  }
};

gateway::behavior_type behavior(gateway::stateful_pointer<gateway_state> self,
                                const node_context& context,
                                const topology& cluster,
                                std::shared_ptr<gateway_status> status,
                                std::function<void()> on_started) {
  auto& state = self->state;
  state.context = context;
  state.cluster = cluster;
  state.status = std::move(status);
  state.on_started = std::move(on_started);
  state.journal = std::make_unique<request_journal>(cluster.num_ranks());
  return {
    [=](const tokens_ready& msg) { self->state.commit(msg); },
    [=](const accept_request& msg) { self->state.accept(msg); },
    [=](const client_gone& msg) { self->state.cancel(msg.request); },
    [=](const node_report& msg) { self->state.report(msg); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const placement_published& msg) { self->state.take(msg); },
    [=](const experts_given_up& msg) { self->state.give_up(msg); },
    [=](cluster_started) { self->state.start(); },
    [=](troupe::shut_down) { self->state.shut_down(); },
  };
}

} // namespace

gateway spawn_gateway(caf::actor_system& system, const node_context& context,
                      topology cluster, std::shared_ptr<gateway_status> status,
                      std::function<void()> on_started) {
  {
    std::lock_guard lock{status->mutex};
    status->reports.resize(cluster.nodes.size());
    status->loads.resize(cluster.nodes.size());
  }
  return system.spawn(behavior, context, std::move(cluster), std::move(status),
                      std::move(on_started));
}

} // namespace troupe
