#include "actors/front_end.hpp"

#include "actors/newest_placement.hpp"
#include "runtime/request_rules.hpp"

#include <algorithm>

namespace troupe {

front_end::front_end(topology cluster, model_config config)
  : cluster_(std::move(cluster)), config_(std::move(config)) {
}

void front_end::connect(std::shared_ptr<directory> here) {
  here_ = std::move(here);
}

/// Why nothing can be taken at present; or empty.
std::string front_end::refusal() const {
  std::lock_guard lock{status_->mutex};
  return status_->refusal;
}

void front_end::close(const failure& why) {
  status_->requests.close(why);
  tell(here_->read()->gateway, shut_down{});
}

service_info front_end::info() const {
  return {cluster_.max_model_len, cluster_.num_ranks(), cluster_.num_workers(),
          static_cast<uint32_t>(cluster_.nodes.size()),
          uint64_t{num_ranks_left()} * cluster_.limits.max_num_running()};
}

/// All of them until the gateway has counted.
uint32_t front_end::num_ranks_left() const {
  auto left = status_->usable_ranks.load();
  return left > 0 ? left : cluster_.num_ranks();
}

service_stats front_end::stats() const {
  auto& status = *status_;
  service_stats out;
  auto requests = status.requests.counted();
  out.requests_accepted = requests.accepted;
  out.requests_finished = requests.finished;
  out.requests_failed = requests.failed;
  out.requests_cancelled = requests.cancelled;
  out.requests_moved = status.requests_moved;
  out.requests_handed_over = status.requests_handed_over;
  out.prompt_tokens = status.prompt_tokens;
  std::lock_guard lock{status.mutex};
  out.nodes_lost = status.nodes_lost;
  out.nodes_came_back = status.nodes_came_back;
  out.nodes_left = status.nodes_left;
  out.nodes_later = status.nodes_later;
  for (auto* list : {&status.reports, &status.former})
    for (auto& report : *list)
      add(report, out);
  if (auto& x = status.balance) {
    out.balance_plans = x->plans;
    out.balance_changes = x->changes;
    out.balance_refusals = x->changes_refused;
    out.experts_moved = x->moves;
    out.expert_balance = x->balance;
    out.planned_balance = x->planned;
    out.planned_gain = x->gain;
  }
  if (auto& x = status.request_balance) {
    out.requests_balanced = x->moves;
    out.request_moves_refused = x->refused;
  }
  return out;
}

void front_end::add(const node_report& report, service_stats& out) {
  auto value = [&](counter x) { return report.values[size_t(x)]; };
  out.generated_tokens += value(counter::generated_tokens);
  out.steps += value(counter::steps);
  out.requests_running += value(counter::running);
  out.requests_waiting += value(counter::waiting);
  out.kv_blocks_total += value(counter::kv_blocks_total);
  out.kv_blocks_free += value(counter::kv_blocks_free);
  out.kv_blocks_cached += value(counter::kv_blocks_cached);
  out.tokens_looked_up += value(counter::tokens_looked_up);
  out.tokens_found += value(counter::tokens_found);
  out.preemptions += value(counter::preemptions);
  out.steps_again += value(counter::steps_again);
  out.dispatch_bytes += value(counter::dispatch_bytes);
  out.combine_bytes += value(counter::combine_bytes);
  out.ranks_used += value(counter::ranks_used);
  out.workers_used += value(counter::workers_used);
  out.requests_without_choice += value(counter::requests_without_choice);
  out.placement_epoch += value(counter::placement_epoch);
  out.changes_begun += value(counter::changes_begun);
  out.changes_done += value(counter::changes_done);
  out.changes_aborted += value(counter::changes_aborted);
  out.last_change_seconds += double(value(counter::last_change_us)) / 1e6;
  out.experts_waiting += value(counter::experts_waiting);
  out.slots_free += value(counter::slots_free);
  out.slots_loading += value(counter::slots_loading);
  out.slots_serving += value(counter::slots_serving);
  out.slots_retiring += value(counter::slots_retiring);
  out.store_blocks += value(counter::store_blocks);
  out.store_off += value(counter::store_off);
  out.store_hits += value(counter::store_hits);
  out.store_misses += value(counter::store_misses);
  out.store_declined += value(counter::store_declined);
  out.store_damaged += value(counter::store_damaged);
  out.store_dropped += value(counter::store_dropped);
  out.store_errors += value(counter::store_errors);
  out.store_bytes_written += value(counter::store_bytes_written);
  out.store_bytes_read += value(counter::store_bytes_read);
  out.host_blocks += value(counter::host_blocks);
  out.host_hits += value(counter::host_hits);
  out.handed_blocks += value(counter::handed_blocks);
  out.handed_bytes += value(counter::handed_bytes);
  out.handed_late += value(counter::handed_late);
  out.handed_early_bytes += value(counter::handed_early_bytes);
  out.handed_wait_us += value(counter::handed_wait_us);
  out.grammars_compiled += value(counter::grammars_compiled);
  out.grammar_bytes += value(counter::grammar_bytes);
  out.network_bytes_sent += report.network.bytes_sent;
  out.strangers_dropped += report.network.strangers_dropped;
  for (auto n : report.network.frames_refused)
    out.frames_refused += n;
}

namespace {

node_status status_of(node_id node, const topology& cluster,
                      const cast_list& list, const gateway_status& status) {
  node_status out;
  out.node = node;
  auto& members = list.members;
  auto is_known = members && node < members->members.size();
  out.name = is_known ? members->members[node].name : cluster.nodes[node].name;
  out.incarnation = incarnation_of(list, node);
  out.state = out.incarnation != 0 && status.usable_ranks > 0 ? "serving"
                                                              : "starting";
  if (auto i = status.lost.find(node); i != status.lost.end()) {
    auto has_left = status.left.contains(node);
    auto is_later = status.later.contains(node);
    out.state = is_later ? "later" : has_left ? "left" : "lost";
    out.why = is_later || has_left ? "" : i->second;
  } else if (list.drain && list.drain->node == out.name
             && !is_over(*list.drain)) {
    out.state = "leaving";
  }
  if (node < status.reports.size())
    out.network_bytes_sent = status.reports[node].network.bytes_sent;
  return out;
}

/// Where those experts of a unit are that nobody has lost, and how many rows
/// chose them: [units * moe layers * experts].
std::vector<layer_status>
layers_of(const model_config& config, const placement& map,
          const std::vector<uint64_t>& rows,
          const std::map<node_id, std::string>& lost) {
  std::vector<layer_status> out;
  for (uint32_t l = 0; l < config.num_moe_layers(); ++l) {
    layer_status layer{map.unit(), l + config.first_k_dense_replace, {}};
    auto first = size_t{map.unit()} * config.num_moe_layers() + l;
    for (uint32_t e = 0; e < config.n_routed_experts; ++e) {
      auto at = first * config.n_routed_experts + e;
      expert_status x{at < rows.size() ? rows[at] : 0};
      for (auto& replica : map.replicas_of(l, e))
        if (!lost.contains(map.node_of(replica.at.worker)))
          x.replicas.push_back(replica.at);
      layer.experts.push_back(std::move(x));
    }
    out.push_back(std::move(layer));
  }
  return out;
}

} // namespace

cluster_status front_end::cluster() const {
  cluster_status out;
  auto list = here_->read();
  if (list->members) {
    out.view = list->members->number;
    out.epochs = list->members->epochs;
  }
  if (list->drain)
    out.drain = *list->drain;
  auto is_over = status_->requests.closed().has_value();
  std::unique_lock lock{status_->mutex};
  out.trouble = status_->trouble;
  out.balance = status_->balance;
  out.request_balance = status_->request_balance;
  out.takes_requests = status_->refusal.empty() && !is_over;
  std::vector<uint64_t> rows;
  for (node_id n = 0; n < cluster_.nodes.size(); ++n) {
    out.nodes.push_back(status_of(n, cluster_, *list, *status_));
    auto loads = n < status_->loads.size() ? status_->loads[n] : nullptr;
    if (!loads)
      continue;
    for (auto& x : loads->ranks)
      out.ranks.push_back({x.rank, n, x.running, x.waiting,
                           cluster_.num_kv_blocks(), x.kv_blocks_free,
                           x.kv_blocks_cached, x.steps, x.tokens});
    for (auto& x : loads->workers)
      out.workers.push_back({x.worker, n, x.runs, x.rows});
    rows.resize(std::max(rows.size(), loads->expert_rows.size()));
    for (size_t i = 0; i < loads->expert_rows.size(); ++i)
      rows[i] += loads->expert_rows[i];
  }
  auto lost = status_->lost;
  lock.unlock(); // what follows takes a while
  if (!list->parts)
    return out;
  for (unit_id unit = 0; unit < list->parts->maps.size(); ++unit) {
    auto map = newest_placement(*list, unit);
    if (unit < out.epochs.size())
      out.epochs[unit] = map.epoch();
    auto layers = layers_of(list->parts->config, map, rows, lost);
    out.layers.insert(out.layers.end(), std::make_move_iterator(layers.begin()),
                      std::make_move_iterator(layers.end()));
  }
  return out;
}

std::optional<std::string> front_end::trouble() const {
  if (auto cause = status_->requests.closed())
    return cause->message;
  std::lock_guard lock{status_->mutex};
  if (status_->trouble.empty())
    return std::nullopt;
  return status_->trouble;
}

// -- the placement ------------------------------------------------------------

std::optional<placement> front_end::placed(unit_id unit) const {
  auto list = here_->read();
  if (!list->parts || unit >= list->parts->maps.size())
    return std::nullopt;
  return newest_placement(*list, unit);
}

namespace {

/// Who asks is answered once, also if nobody who could say anything is left.
template <class T>
class question {
public:
  explicit question(std::function<void(const result<T>&)> done)
    : done_(std::move(done)) {
  }

  question(const question&) = delete;
  question& operator=(const question&) = delete;

  ~question() {
    hear(failure{errc::cancelled, "the node has ended"});
  }

  void hear(const result<T>& x) {
    if (auto done = std::exchange(done_, nullptr))
      done(x);
  }

private:
  std::function<void(const result<T>&)> done_;
};

} // namespace

void front_end::change_placement(
  placement_lists next, std::function<void(const result<uint32_t>&)> done) {
  auto placer = here_->read()->placer;
  if (!placer || status_->usable_ranks == 0)
    return done(failure{errc::refused, "the cluster is starting"});
  auto asked = std::make_shared<question<uint32_t>>(std::move(done));
  using callback = std::function<void(const result<uint32_t>&)>;
  tell(placer, troupe::change_placement{
                 std::make_shared<const placement_lists>(std::move(next)),
                 std::make_shared<const callback>(
                   [asked](auto& x) { asked->hear(x); })});
}

void front_end::drain(const std::string& node, std::chrono::milliseconds limit,
                      std::function<void(const result<void>&)> begun) {
  auto asked = std::make_shared<question<void>>(std::move(begun));
  using callback = std::function<void(const result<void>&)>;
  tell(
    here_->read()->controller,
    drain_node{node, limit, std::make_shared<const callback>([asked](auto& x) {
                 asked->hear(x);
               })});
}

void front_end::undrain(const std::string& node,
                        std::function<void(const result<void>&)> done) {
  auto asked = std::make_shared<question<void>>(std::move(done));
  using callback = std::function<void(const result<void>&)>;
  tell(here_->read()->controller,
       undrain_node{node, std::make_shared<const callback>(
                            [asked](auto& x) { asked->hear(x); })});
}

uint64_t front_end::max_open(const topology_limits& limits,
                             uint32_t num_ranks) {
  return uint64_t{num_ranks}
         * (limits.max_num_running() + limits.max_num_waiting);
}

// -- requests -----------------------------------------------------------------

result<request_id> front_end::submit(generation_request request,
                                     event_handler on_event) {
  request_rules rules{cluster_.max_model_len, config_.vocab_size,
                      cluster_.num_ranks()};
  if (auto refusal = settle(request, rules))
    return to_failure(*refusal);
  auto& requests = status_->requests;
  if (auto why = refusal(); !why.empty() && !requests.closed())
    return failure{errc::peer_lost, why};
  auto id = requests.open(std::move(on_event),
                          max_open(cluster_.limits, num_ranks_left()));
  if (!id)
    return id;
  requests.announce(*id, request);
  tell(here_->read()->gateway,
       accept_request{
         *id, std::make_shared<const generation_request>(std::move(request))});
  return id;
}

void front_end::cancel(request_id id) {
  tell(here_->read()->gateway, client_gone{id});
}

void front_end::enough(request_id id) {
  status_->requests.enough(id);
}

} // namespace troupe
