// The commit point of every request: who owns it, what its client has got.
//
//   accepted --rank chosen--> running --last event committed--> gone
//       |                     |    ^ \--client_gone--> cancelled --> gone
//       |            its rank |    | term + 1, behind what is committed
//       |             is lost v    |
//       |                  another rank
//       |                     |    ^
//       \-------nobody is left v    | somebody is back
//                  waits for who is lost --too long--> failed, names the node
//
// Who hears of it is open_requests' to know, which ends without this actor too.

#include "actors/cast.hpp"
#include "actors/loss_book.hpp"
#include "actors/report_book.hpp"
#include "actors/request_balance.hpp"
#include "actors/tell_rank.hpp"
#include "runtime/cluster/owner_events.hpp"
#include "runtime/cluster/request_fates.hpp"
#include "runtime/cluster/request_journal.hpp"
#include "runtime/cluster/unit_choice.hpp"
#include "runtime/cluster/waiting_requests.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// So many processes may die that had a request in their step: it may be what
/// kills them.
constexpr uint32_t most_deaths = 2;

/// So often an owner may say that it cannot go on without somebody whom others
/// can do without.
constexpr uint32_t most_setbacks = 16;

/// How often those who wait are looked at.
constexpr std::chrono::milliseconds patrol{250};

struct gateway_state {
  static constexpr const char* name = "gateway";

  gateway::pointer self = nullptr;
  node_context context;
  topology cluster;
  std::shared_ptr<gateway_status> status;
  std::unique_ptr<request_journal> journal;
  std::vector<unit_id> units_of_ranks;
  std::unique_ptr<rank_outlook> outlook;
  std::unique_ptr<unit_choice> units;
  std::unique_ptr<request_balance> balance;
  loss_book losses;
  std::optional<node_lost> leaving; ///< Its ranks get no new requests.
  waiting_requests waits;
  bool is_on_patrol = false;
  report_book reports;
  std::function<void()> on_started;
  bool started = false;

  // -- what is there ----------------------------------------------------------

  /// Who had waited for an expert may have it again.
  void take(const placement_published& msg) {
    auto next
      = context.here->read()->parts->maps.at(msg.map->unit).with(*msg.map);
    CHECK(next); // it is our own node's
    outlook->placed(std::move(*next));
    publish_trouble();
    leave_stranded();
    go_on_with_waiting();
  }

  /// There is no room for who is missing, or nobody to read it from.
  void give_up(const experts_given_up& msg) {
    if (!outlook->give_up(msg.unit))
      return;
    publish_trouble();
    auto count = leave_stranded();
    auto why = outlook->obstacle(std::nullopt);
    context.log->warning((why ? sentence(losses.last_of(*why)) : msg.why)
                         + describe(count));
  }

  /// The lost node without which nobody can run `what`; or null.
  const node_lost* obstacle(const generation_request& what) const {
    auto node = outlook->obstacle(what.rank);
    return node ? &losses.last_of(*node) : nullptr;
  }

  /// Likewise, or who is leaving, where one that waits came too late for it.
  const node_lost* obstacle(request_id id) const {
    return leaving && waits.is_late(id) ? &*leaving
                                        : obstacle(*journal->what(id));
  }

  bool wants_leaver(const generation_request& what) const {
    return leaving && what.rank && outlook->is_leaving(*what.rank);
  }

  void publish_trouble() const {
    losses.publish(*status, *outlook, started);
  }

  // -- requests ---------------------------------------------------------------

  void accept(const accept_request& msg) {
    if (!status->requests.has(msg.request))
      return; // all were closed meanwhile
    status->prompt_tokens += msg.what->prompt.size();
    if (wants_leaver(*msg.what) || obstacle(*msg.what)) {
      journal->accept_waiting(msg.request, msg.what);
      return hold(msg.request, wants_leaver(*msg.what));
    }
    auto usable = outlook->usable();
    if (msg.what->rank)
      usable = {rank_id(*msg.what->rank)};
    journal->accept(msg.request, msg.what,
                    balance->readers_of(units->to_begin(usable), *msg.what));
    begin(msg.request, usable);
  }

  /// It has an owner: who goes on once that has computed what there is, one of
  /// `usable`, is chosen now, so that it can be made ready.
  void begin(request_id id, const std::vector<rank_id>& usable) {
    auto from = journal->rank_of(id);
    balance->given(id);
    auto then = balance->decoders_of(units->to_follow(from, usable), id);
    give(id, journal->plan_next(id, then));
  }

  /// Somebody who may run it computes what there is of it, and more.
  void begin_again(request_id id, const std::vector<rank_id>& usable) {
    ++status->requests_moved;
    auto& what = *journal->what(id);
    journal->raise(id, balance->readers_of(units->to_begin(usable), what));
    begin(id, usable);
  }

  /// Its owner has done its part.
  void pass_on(request_id id) {
    if (obstacle(id))
      return hold(id);
    auto usable = ranks_for(id);
    auto next = units->to_follow(journal->rank_of(id), usable);
    if (next.empty()) // they are lost: others do what they would
      return begin_again(id, usable);
    ++status->requests_handed_over;
    give(id, journal->pass_on(id, next));
  }

  /// Nobody can run it at present: it waits for who is lost, but not for ever.
  void hold(request_id id, bool is_late = false) {
    if (auto owner = journal->suspend(id))
      take_from(id, *owner);
    waits.add(id, self->clock().now() + status->outage_timeout, is_late);
    go_on_patrol();
  }

  void go_on_patrol() {
    if ((leaving || !waits.is_empty()) && !std::exchange(is_on_patrol, true))
      tell_later(self, gateway{self}, patrol, tick{});
  }

  /// Of who has waited for too long.
  void look_at_waiting() {
    is_on_patrol = false;
    waits.keep([this](auto id) { return status->requests.has(id); });
    for (auto id : waits.overdue(self->clock().now()))
      if (auto* why = obstacle(id)) {
        end_early(id, {errc::peer_lost, sentence(*why)});
        waits.erase(id);
      }
    empty_ranks();
    go_on_patrol();
  }

  /// Somebody is back.
  void go_on_with_waiting() {
    for (auto id : journal->waiting()) {
      if (obstacle(id))
        continue;
      waits.erase(id);
      if (status->on_waited)
        status->on_waited(id);
      begin_again(id, ranks_for(id));
    }
  }

  /// Who may run a request that has had an owner, if anybody may.
  std::vector<rank_id> ranks_for(request_id id) const {
    if (auto& wanted = journal->what(id)->rank)
      return {rank_id(*wanted)};
    return journal->num_deaths(id) > 0 ? ranks_for_a_suspect()
                                       : outlook->usable();
  }

  /// Its owner goes on behind what has been committed.
  void give(request_id id, request_journal::owner to) {
    if (status->on_owner)
      status->on_owner(id, to.rank, to.term);
    run_request message{id,      to.term,           units_of_ranks[to.rank],
                        to.rank, journal->what(id), {},
                        to.next};
    if (!PLANTED(answer_lost_at_move))
      message.answered = journal->answered(id);
    tell_rank(context, cluster, to.rank, std::move(message));
  }

  /// Ends a request for its client now and frees what its rank holds.
  void end_early(request_id id, const failure& cause) {
    withdraw(id);
    status->requests.fail(id, cause);
  }

  void withdraw(request_id id) {
    if (auto owner = journal->remove(id))
      take_from(id, *owner);
  }

  void take_from(request_id id, const request_journal::owner& owner) {
    auto tell_it = [&](rank_id rank) {
      tell_rank(context, cluster, rank, cancel_request{id, rank, owner.term});
    };
    tell_it(owner.rank);
    if (owner.next) // it may hold what has come so far
      tell_it(*owner.next);
  }

  void commit(const tokens_ready& msg) {
    using verdict = request_journal::verdict;
    auto event = msg.event;
    if (is_setback(*event) && journal->is_owned(msg.request, msg.term)
        && journal->set_back(msg.request) <= most_setbacks)
      return void(recover(msg.request));
    if (journal->may_repeat_scores(msg.request))
      event = std::make_shared<const generation_event>(
        journal->without_known_scores(msg.request, *event));
    auto what = journal->commit(msg.request, msg.term, *event);
    if (what == verdict::committed) {
      auto goes_on = journal->next_of(msg.request) && !event->tokens.empty();
      if (!is_empty(*event))
        status->requests.deliver(msg.request, *event);
      return goes_on ? pass_on(msg.request) : settle(msg.request);
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

  /// Between two of its tokens: another rank goes on with it that has its
  /// blocks.
  void settle(request_id id) {
    if (!balance->is_copied(id))
      return;
    if (auto to = balance->due(id, outlook->usable())) {
      auto from = journal->suspend(id);
      give(id, journal->raise(id, {*to}));
      balance->take_from(id, *from);
    }
  }

  void look_at_load() {
    balance->look(outlook->usable(), self->clock().now());
    tell_later(self, gateway{self}, status->moving->interval, load_due{});
  }

  /// Returns whether it goes on now, and does not wait.
  bool recover(request_id id) {
    if (obstacle(id)) {
      hold(id);
      return false;
    }
    begin_again(id, ranks_for(id));
    return true;
  }

  void cancel(request_id id) {
    end_early(id, {errc::cancelled, "the request was cancelled"});
  }

  /// The clients have been told; the ranks need not go on.
  void shut_down() {
    for (auto id : journal->all())
      withdraw(id);
  }

  // -- who leaves -------------------------------------------------------------

  void take(const node_leaving& msg) {
    outlook->leaves(msg.stays ? std::nullopt : std::optional{msg.node});
    leaving.reset();
    waits.forgive();
    if (!msg.stays) // it gets its incarnation when it is lost
      leaving = node_lost{msg.node, 0, msg.name, "is leaving", true};
    publish_trouble();
    empty_ranks();
    go_on_patrol();
    if (msg.stays)
      go_on_with_waiting();
  }

  /// Others go on with what its ranks have. Who wants these and no other comes
  /// to its end there, also if it waits at present.
  void empty_ranks() {
    if (!leaving)
      return;
    leaving_progress out{leaving->node, leaving_progress::part::requests};
    auto& ranks = cluster.nodes[leaving->node].ranks;
    auto usable = outlook->usable();
    out.is_needed = !ranks.empty()
                    && (usable.empty() || outlook->is_leaving(usable[0]));
    out.lost = losses.processes();
    for (auto id : waits.in_time())
      out.left += status->requests.has(id) && wants_leaver(*journal->what(id));
    for (auto rank : ranks)
      for (auto id : journal->requests_of(rank))
        if (auto to = ranks_for(id); to.empty() || outlook->is_leaving(to[0]))
          ++out.left;
        else
          move_on(id, to);
    tell(context.here->read()->controller, out);
  }

  void move_on(request_id id, const std::vector<rank_id>& to) {
    if (auto from = journal->suspend(id))
      take_from(id, *from);
    begin_again(id, to);
  }

  // -- the cluster ------------------------------------------------------------

  void lose(const node_lost& msg) {
    if (leaving && leaving->node == msg.node)
      leaving.reset();
    reports.lose(msg.node, msg.incarnation);
    if (!losses.lose(msg))
      return publish_trouble(); // a successor that was not back yet
    look_for_parts();
    outlook->lost(msg.node, !is_not_here_yet(msg));
    balance->lost(msg.node);
    if (status->on_lost)
      status->on_lost(msg.node);
    publish_trouble();
    request_fates count;
    for (auto rank : cluster.nodes[msg.node].ranks) {
      auto in_step = cluster.limits.max_num_running();
      for (auto id : journal->requests_of(rank_id(rank))) {
        // It runs the oldest that it has.
        auto was_run = in_step > 0 && in_step-- > 0 && !msg.has_left;
        move(id, was_run, msg, count);
      }
    }
    count += leave_stranded();
    if (count.moved + count.waiting + count.ended > 0)
      context.log->warning(sentence(msg) + describe(count));
  }

  /// Of ranks that miss experts and will not get them.
  request_fates leave_stranded() {
    request_fates out;
    for (auto rank : outlook->stranded())
      for (auto id : journal->requests_of(rank))
        ++(recover(id) ? out.moved : out.waiting);
    return out;
  }

  /// Before they are loaded nobody knows who has what.
  void look_for_parts() {
    if (auto parts = context.here->read()->parts)
      outlook->begin_with(parts->maps);
  }

  /// Gives a request of a lost rank to another one, if there is any.
  void move(request_id id, bool was_run, const node_lost& from,
            request_fates& count) {
    if (was_run && journal->mark(id) >= most_deaths) {
      end_early(id, {errc::quarantined, sentence(from)
                                          + ", as was who computed the request "
                                            "before: it is not tried again"});
      ++count.ended;
    } else if (obstacle(id)) {
      hold(id);
      ++count.waiting;
    } else {
      ++count.moved;
      begin_again(id, was_run ? ranks_for_a_suspect() : outlook->usable());
    }
  }

  /// Another process serves in its place.
  void take_back(const node_back& msg) {
    if (!losses.take_back(msg.node))
      return;
    look_for_parts();
    outlook->back(msg.node);
    if (status->on_back)
      status->on_back(msg.node);
    publish_trouble();
    context.log->warning("node " + msg.name + " is back");
    go_on_with_waiting();
  }

  /// Who may have killed a rank is not to kill this node, if there are others.
  std::vector<rank_id> ranks_for_a_suspect() const {
    return outlook->usable_beside(context.node);
  }

  void report(const node_report& msg) {
    if (!reports.take(msg) || !msg.loads)
      return;
    balance->hear(*msg.loads);
    tell(context.here->read()->balancer, msg);
  }

  void take(const experts_balanced& msg) {
    std::lock_guard lock{status->mutex};
    status->balance = msg.status;
  }

  void start() {
    started = true;
    publish_trouble();
    tell(context.here->read()->balancer, cluster_started{});
    if (status->moving)
      tell_later(self, gateway{self}, status->moving->interval, load_due{});
    if (on_started)
      on_started();
  }
};

gateway::behavior_type
gateway_behavior(gateway::stateful_pointer<gateway_state> self,
                 const node_context& context, const topology& cluster,
                 std::shared_ptr<gateway_status> status,
                 std::function<void()> on_started) {
  auto& state = self->state;
  state.self = self;
  state.context = context;
  state.cluster = cluster;
  state.status = std::move(status);
  state.reports = report_book{state.status};
  state.on_started = std::move(on_started);
  state.journal = std::make_unique<request_journal>(cluster.num_ranks());
  state.outlook = std::make_unique<rank_outlook>(cluster);
  state.units_of_ranks = cluster.units_of_ranks();
  state.units = std::make_unique<unit_choice>(cluster);
  state.balance = std::make_unique<request_balance>(
    context, cluster, state.status, *state.journal);
  return {
    [=](const tokens_ready& msg) { self->state.commit(msg); },
    [=](const accept_request& msg) { self->state.accept(msg); },
    [=](const client_gone& msg) { self->state.cancel(msg.request); },
    [=](const node_report& msg) { self->state.report(msg); },
    [=](const process_over& msg) {
      self->state.reports.lose(msg.node, msg.incarnation);
    },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const placement_published& msg) { self->state.take(msg); },
    [=](const experts_given_up& msg) { self->state.give_up(msg); },
    [=](const experts_balanced& msg) { self->state.take(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](const node_leaving& msg) { self->state.take(msg); },
    [=](cluster_started) { self->state.start(); },
    [=](troupe::shut_down) { self->state.shut_down(); },
    [=](tick) { self->state.look_at_waiting(); },
    [=](const request_copied& msg) { self->state.balance->take(msg); },
    [=](load_due) { self->state.look_at_load(); },
  };
}

} // namespace

gateway spawn_gateway(caf::actor_system& system, const node_context& context,
                      topology cluster, std::shared_ptr<gateway_status> status,
                      std::function<void()> on_started) {
  report_book::open(*status, cluster.nodes.size());
  return system.spawn(gateway_behavior, context, std::move(cluster),
                      std::move(status), std::move(on_started));
}

} // namespace troupe
