#include "runtime/http/cluster_answer.hpp"

#include "runtime/json/dump_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe::http {

namespace {

using nlohmann::ordered_json;

std::string hex(uint64_t x) {
  constexpr auto digits = "0123456789abcdef";
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4)
    out += digits[(x >> shift) & 15];
  return out;
}

ordered_json to_json(const node_status& x) {
  ordered_json out{{"node", x.node}, {"name", x.name}, {"state", x.state}};
  if (!x.why.empty())
    out["why"] = x.why;
  if (x.incarnation != 0)
    out["incarnation"] = hex(x.incarnation);
  out["network_bytes_sent"] = x.network_bytes_sent;
  return out;
}

ordered_json to_json(const rank_status& x) {
  return {{"rank", x.rank},
          {"node", x.node},
          {"running", x.running},
          {"waiting", x.waiting},
          {"kv_blocks", x.kv_blocks},
          {"kv_blocks_free", x.kv_blocks_free},
          {"kv_blocks_cached", x.kv_blocks_cached},
          {"steps", x.steps},
          {"tokens", x.tokens}};
}

ordered_json to_json(const worker_status& x) {
  return {
    {"worker", x.worker}, {"node", x.node}, {"runs", x.runs}, {"rows", x.rows}};
}

ordered_json to_json(const expert_move& x) {
  ordered_json out{{"unit", x.unit},
                   {"epoch", x.epoch},
                   {"layer", x.layer},
                   {"expert", x.expert}};
  if (x.from)
    out["from"] = *x.from;
  out["to"] = x.to;
  out["reason"] = x.reason;
  out["gain"] = x.gain;
  return out;
}

ordered_json to_json(const moved_request& x) {
  return {{"request", x.request},     {"from", x.from},     {"to", x.to},
          {"kv_tokens", x.kv_tokens}, {"reason", x.reason}, {"gain", x.gain}};
}

ordered_json summary_of(const layer_status& x) {
  uint64_t sum = 0, num_replicas = 0;
  for (auto& expert : x.experts) {
    sum += expert.rows;
    num_replicas += expert.replicas.size();
  }
  auto most = std::ranges::max_element(x.experts, {}, &expert_status::rows);
  ordered_json out{{"unit", x.unit},
                   {"layer", x.layer},
                   {"experts", x.experts.size()},
                   {"replicas", num_replicas},
                   {"rows", sum}};
  if (sum > 0) {
    out["most_rows"] = most->rows;
    out["most_asked"] = most - x.experts.begin();
  }
  return out;
}

ordered_json experts_of(const layer_status& x) {
  auto rows = ordered_json::array(), replicas = ordered_json::array();
  for (auto& expert : x.experts) {
    rows.push_back(expert.rows);
    auto at = ordered_json::array();
    for (auto& y : expert.replicas)
      at.push_back({y.worker, y.slot});
    replicas.push_back(std::move(at));
  }
  return {{"unit", x.unit},
          {"layer", x.layer},
          {"rows", std::move(rows)},
          {"replicas", std::move(replicas)}};
}

template <class T, class F>
ordered_json list(const std::vector<T>& all, F f) {
  auto out = ordered_json::array();
  for (auto& x : all)
    out.push_back(f(x));
  return out;
}

template <class T>
ordered_json list(const std::vector<T>& all) {
  return list(all, [](auto& x) { return to_json(x); });
}

ordered_json balance_of(const balance_status& x) {
  return {{"plans", x.plans},     {"changes", x.changes},
          {"moved", x.moves},     {"refused", x.changes_refused},
          {"balance", x.balance}, {"planned", x.planned},
          {"gain", x.gain}};
}

} // namespace

std::string render_cluster(const cluster_status& x) {
  ordered_json out{{"view", x.view},
                   {"epochs", x.epochs},
                   {"takes_requests", x.takes_requests},
                   {"trouble", x.trouble},
                   {"nodes", list(x.nodes)},
                   {"ranks", list(x.ranks)},
                   {"workers", list(x.workers)},
                   {"layers", list(x.layers, summary_of)}};
  if (x.balance) {
    out["balance"] = balance_of(*x.balance);
    out["moves"] = list(x.balance->recent);
  }
  if (x.drain)
    out["drain"] = sentence(*x.drain);
  if (auto& y = x.request_balance) {
    out["request_balance"]
      = {{"plans", y->plans}, {"moved", y->moves}, {"refused", y->refused}};
    out["request_moves"] = list(y->recent);
  }
  return dump_text(out);
}

std::string render_experts(const cluster_status& x) {
  return dump_text(
    {{"epochs", x.epochs}, {"layers", list(x.layers, experts_of)}});
}

} // namespace troupe::http
