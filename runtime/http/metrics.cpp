#include "runtime/http/metrics.hpp"

#include <algorithm>
#include <cstdio>
#include <span>

namespace troupe::http {

namespace {

std::string number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", x);
  return text;
}

void announce(const std::string& name, const std::string& type,
              const std::string& help, std::string& to) {
  to += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

struct figure {
  const char* name;
  const char* type;
  const char* help;
  uint64_t value;
};

void render(std::span<const figure> all, std::string& to) {
  for (const auto& f : all) {
    auto name = std::string{"troupe_"} + f.name;
    announce(name, f.type, f.help, to);
    to += name + " " + std::to_string(f.value) + "\n";
  }
}

void render_connections(const server_stats& x, std::string& to) {
  const figure all[] = {
    {"http_connections", "gauge", "Connections of clients.", x.open},
    {"http_connections_total", "counter", "Connections that were let in.",
     x.accepted},
    {"http_connections_turned_away_total", "counter",
     "Connections beyond a limit, of all clients or of one.", x.turned_away},
    {"http_requests_malformed_total", "counter",
     "Requests that were refused before anybody asked what they want.",
     x.refused},
    {"http_requests_late_total", "counter",
     "Requests whose head or body came too slowly.", x.late},
  };
  render(all, to);
}

void render_nodes(const service_stats& x, const service_info& info,
                  std::string& to) {
  const figure all[] = {
    {"nodes", "gauge", "Node processes that are there.",
     info.num_nodes - x.nodes_lost - x.nodes_left - x.nodes_later},
    {"nodes_lost", "gauge", "Node processes that are not, but should be.",
     x.nodes_lost},
    {"nodes_came_back_total", "counter",
     "Node processes that serve in the place of lost ones, also of each other.",
     x.nodes_came_back},
    {"nodes_left", "gauge", "Node processes that have left in peace.",
     x.nodes_left},
    {"nodes_later", "gauge",
     "Node processes that may come later, and have not come yet.",
     x.nodes_later},
  };
  render(all, to);
}

void render_figures(const service_stats& x, const service_info& info,
                    std::string& to) {
  const figure all[] = {
    {"requests_accepted_total", "counter", "Requests accepted.",
     x.requests_accepted},
    {"requests_finished_total", "counter", "Requests that came to their end.",
     x.requests_finished},
    {"requests_failed_total", "counter", "Requests that failed.",
     x.requests_failed},
    {"requests_without_finite_logits_total", "counter",
     "Requests that failed since the model computed no finite logits.",
     x.requests_without_choice},
    {"requests_cancelled_total", "counter", "Requests that were cancelled.",
     x.requests_cancelled},
    {"requests_moved_total", "counter",
     "Requests that went on elsewhere since their rank was lost.",
     x.requests_moved},
    {"requests_running", "gauge", "Requests that have a place in the batch.",
     x.requests_running},
    {"requests_waiting", "gauge", "Requests that wait for a place.",
     x.requests_waiting},
    {"prompt_tokens_total", "counter", "Tokens of prompts.", x.prompt_tokens},
    {"generated_tokens_total", "counter", "Tokens generated.",
     x.generated_tokens},
    {"steps_total", "counter", "Forward passes over a batch.", x.steps},
    {"kv_blocks", "gauge", "Blocks of the latent cache.", x.kv_blocks_total},
    {"kv_blocks_free", "gauge", "Of them, those that are free.",
     x.kv_blocks_free},
    {"kv_blocks_cached", "gauge",
     "Of the free ones, those whose contents requests may still find.",
     x.kv_blocks_cached},
    {"prefix_cache_queries_total", "counter",
     "Tokens of requests that were let in.", x.tokens_looked_up},
    {"prefix_cache_hits_total", "counter",
     "Of them, those that were found in the cache.", x.tokens_found},
    {"steps_again_total", "counter",
     "Forward passes begun again, since workers with their rows were lost.",
     x.steps_again},
    {"preemptions_total", "counter",
     "Requests that lost their blocks to older ones and began again.",
     x.preemptions},
    {"dispatch_bytes_total", "counter", "Bytes of rows to expert workers.",
     x.dispatch_bytes},
    {"combine_bytes_total", "counter", "Bytes of rows from expert workers.",
     x.combine_bytes},
    {"network_sent_bytes_total", "counter", "Bytes handed to the network.",
     x.network_bytes_sent},
    {"frames_refused_total", "counter",
     "Frames stale, foreign, damaged or out of order.", x.frames_refused},
    {"strangers_dropped_total", "counter",
     "Connections to nodes that did not prove to be of the cluster.",
     x.strangers_dropped},
    {"attention_ranks", "gauge", "Attention ranks.", info.num_ranks},
    {"attention_ranks_used", "gauge", "Of them, those that have run a step.",
     x.ranks_used},
    {"expert_workers", "gauge", "Expert workers.", info.num_workers},
    {"expert_workers_used", "gauge", "Of them, those that have run a row.",
     x.workers_used},
  };
  render(all, to);
  render_nodes(x, info, to);
}

void render_hand_over(const service_stats& x, std::string& to) {
  const figure all[] = {
    {"requests_handed_over_total", "counter",
     "Requests that a rank of another unit has prefilled.",
     x.requests_handed_over},
    {"handed_blocks_total", "counter",
     "Blocks of the latent cache that came with them.", x.handed_blocks},
    {"handed_bytes_total", "counter", "Bytes of these blocks.", x.handed_bytes},
    {"handed_blocks_late_total", "counter",
     "Of these blocks, those that nobody waited for any more.", x.handed_late},
    {"handed_early_bytes_total", "counter",
     "Of the bytes, those that came before their requests.",
     x.handed_early_bytes},
  };
  render(all, to);
  std::string wait = "troupe_handed_wait_seconds_total";
  announce(wait, "counter", "Seconds that requests waited for these blocks.",
           to);
  to += wait + " " + number(double(x.handed_wait_us) / 1e6) + "\n";
}

void render_grammars(const service_stats& x,
                     const known_grammars::counts& asked, std::string& to) {
  const figure all[] = {
    {"grammars_compiled_total", "counter",
     "Grammars that processes with ranks compiled.", x.grammars_compiled},
    {"grammar_bytes", "gauge",
     "Bytes of their programs, states and masks that are kept.",
     x.grammar_bytes},
    {"grammar_checks_total", "counter",
     "Grammars of requests that were looked at.", asked.asked},
    {"grammar_checks_compiled_total", "counter",
     "Of them, those that were not known before.", asked.compiled},
    {"grammar_sources_bytes", "gauge", "Bytes of those that are known.",
     asked.bytes},
  };
  render(all, to);
}

void render_store(const service_stats& x, std::string& to) {
  const figure all[] = {
    {"kv_host_blocks", "gauge", "Blocks that are kept in host memory.",
     x.host_blocks},
    {"kv_host_hits_total", "counter",
     "Blocks that were asked for and stood in host memory.", x.host_hits},
    {"kv_store_blocks", "gauge", "Blocks that are kept on disks.",
     x.store_blocks},
    {"kv_store_off", "gauge", "Nodes whose disk for blocks was given up.",
     x.store_off},
    {"kv_store_hits_total", "counter",
     "Blocks that were asked for and came from a disk.", x.store_hits},
    {"kv_store_misses_total", "counter",
     "Blocks that were asked for and were on no disk.", x.store_misses},
    {"kv_store_declined_total", "counter",
     "Blocks that were on a disk and computed nonetheless, which takes less.",
     x.store_declined},
    {"kv_store_damaged_total", "counter",
     "Blocks on disks that were not what they should be.", x.store_damaged},
    {"kv_store_dropped_total", "counter",
     "Blocks that were not written since the disk lagged behind.",
     x.store_dropped},
    {"kv_store_errors_total", "counter",
     "Reads and writes of blocks that failed.", x.store_errors},
    {"kv_store_written_bytes_total", "counter",
     "Bytes of blocks written to disks.", x.store_bytes_written},
    {"kv_store_read_bytes_total", "counter", "Bytes of blocks read from disks.",
     x.store_bytes_read},
  };
  render(all, to);
}

void render_placement(const service_stats& x, std::string& to) {
  const figure all[] = {
    {"placement_epoch", "gauge", "Number of the placement of experts.",
     x.placement_epoch},
    {"placement_changes_begun_total", "counter",
     "Changes of the placement that were begun.", x.changes_begun},
    {"placement_changes_done_total", "counter",
     "Of them, those that became the placement.", x.changes_done},
    {"placement_changes_aborted_total", "counter",
     "Of them, those that were given up.", x.changes_aborted},
    {"experts_waiting", "gauge",
     "Experts of a layer that no worker has; their tokens wait.",
     x.experts_waiting},
  };
  render(all, to);
  std::string last = "troupe_placement_change_seconds";
  announce(last, "gauge", "What the last change took that was done.", to);
  to += last + " " + number(x.last_change_seconds) + "\n";
  std::string slots = "troupe_expert_slots";
  announce(slots, "gauge", "Slots of expert workers, in all layers.", to);
  const std::pair<const char*, uint64_t> states[]
    = {{"free", x.slots_free},
       {"loading", x.slots_loading},
       {"serving", x.slots_serving},
       {"retiring", x.slots_retiring}};
  for (auto& [state, count] : states)
    to += slots + "{state=\"" + state + "\"} " + std::to_string(count) + "\n";
}

void render_balance(const service_stats& x, std::string& to) {
  const figure all[] = {
    {"requests_balanced_total", "counter",
     "Requests that went on at a rank with less to do.", x.requests_balanced},
    {"request_moves_refused_total", "counter",
     "Such moves that were given up: the request stayed, or had ended.",
     x.request_moves_refused},
    {"expert_balance_plans_total", "counter",
     "Plans that were made of where experts should be.", x.balance_plans},
    {"expert_balance_changes_total", "counter",
     "Changes of the placement that were done for them.", x.balance_changes},
    {"expert_balance_refusals_total", "counter",
     "Changes for them that were refused or given up.", x.balance_refusals},
    {"experts_moved_total", "counter",
     "Copies of experts that came to workers by them.", x.experts_moved},
  };
  render(all, to);
  auto add = [&](const char* name, const char* help, double value) {
    announce(name, "gauge", help, to);
    to += std::string{name} + " " + number(value) + "\n";
  };
  add("troupe_expert_balance",
      "Mean over largest load of workers, mean of layers, when it was looked "
      "at last.",
      x.expert_balance);
  add("troupe_expert_balance_planned", "What the last plan made of it.",
      x.planned_balance);
  add("troupe_expert_balance_gain",
      "Share of the largest loads that the last plan takes away.",
      x.planned_gain);
}

} // namespace

void latency_histogram::add(double seconds) {
  auto i = std::ranges::lower_bound(bounds, seconds) - bounds.begin();
  ++counts_[static_cast<size_t>(i)];
  sum_ += seconds;
}

void latency_histogram::render(const std::string& name, const std::string& help,
                               std::string& to) const {
  announce(name, "histogram", help, to);
  uint64_t sum = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    sum += counts_[i];
    auto bound = i < bounds.size() ? number(bounds[i]) : "+Inf";
    to += name + "_bucket{le=\"" + bound + "\"} " + std::to_string(sum) + "\n";
  }
  to += name + "_sum " + number(sum_) + "\n";
  to += name + "_count " + std::to_string(sum) + "\n";
}

void api_metrics::count_request(const std::string& route, unsigned status) {
  std::lock_guard guard{mutex_};
  ++requests_[{route, status}];
}

void api_metrics::add_first_token(double seconds) {
  std::lock_guard guard{mutex_};
  first_token_.add(seconds);
}

void api_metrics::add_token_gap(double seconds) {
  std::lock_guard guard{mutex_};
  token_gap_.add(seconds);
}

void api_metrics::count_client_gone() {
  std::lock_guard guard{mutex_};
  ++clients_gone_;
}

std::string api_metrics::render(const service_stats& stats,
                                const service_info& info,
                                const server_stats& connections,
                                const known_grammars::counts& grammars) const {
  std::string to;
  render_figures(stats, info, to);
  render_hand_over(stats, to);
  render_store(stats, to);
  render_grammars(stats, grammars, to);
  render_placement(stats, to);
  render_balance(stats, to);
  render_connections(connections, to);
  std::lock_guard guard{mutex_};
  announce("troupe_http_requests_total", "counter",
           "Answers by route and status.", to);
  for (const auto& [key, count] : requests_)
    to += "troupe_http_requests_total{route=\"" + key.first + "\",status=\""
          + std::to_string(key.second) + "\"} " + std::to_string(count) + "\n";
  announce("troupe_http_clients_gone_total", "counter",
           "Clients that left before their answer's end.", to);
  to += "troupe_http_clients_gone_total " + std::to_string(clients_gone_)
        + "\n";
  first_token_.render("troupe_time_to_first_token_seconds",
                      "From the request's arrival to its first token.", to);
  token_gap_.render("troupe_time_per_output_token_seconds",
                    "Between one token of a request and the next.", to);
  return to;
}

} // namespace troupe::http
