#include "deploy/live_faults.hpp"

#include "kernels/check.hpp"

#include <signal.h>

#include <algorithm>

namespace troupe {

namespace {

bool is_both_ways(fault_kind kind) {
  return kind != fault_kind::cut_oneway && kind != fault_kind::reset;
}

/// What a sender does for a fault of a link; none: it can do nothing.
std::optional<link_rule::kind> rule_for(fault_kind kind) {
  switch (kind) {
    case fault_kind::cut:
    case fault_kind::cut_oneway:
    case fault_kind::clog:
      return link_rule::kind::stop;
    case fault_kind::delay:
      return link_rule::kind::delay;
    case fault_kind::rate:
      return link_rule::kind::rate;
    default:
      return std::nullopt;
  }
}

const char* effect_of(fault_kind kind) {
  switch (kind) {
    case fault_kind::delay:
      return "frames delayed";
    case fault_kind::rate:
      return "frames slowed";
    case fault_kind::reset:
      return "connections broken";
    default:
      return "frames held back";
  }
}

bool is_seen_live(trace_kind event) {
  return event == trace_kind::token_emitted
         || event == trace_kind::request_accepted
         || event == trace_kind::request_ended
         || event == trace_kind::peer_joined || event == trace_kind::peer_lost;
}

class plan_judge {
public:
  plan_judge(const std::vector<std::string>& nodes, const live_world& world)
    : nodes_(nodes), world_(world) {
  }

  /// Why it cannot happen; empty if it can.
  std::string why_not(const fault& x) const {
    if (x.trigger == fault_trigger::on) {
      if (!is_seen_live(x.event))
        return "the event " + std::string{to_string(x.event)}
               + " is not seen in a running cluster";
      if (!x.event_node.empty() && x.event_node != nodes_[0])
        return "events are seen at node " + nodes_[0] + " alone";
    }
    switch (form_of(x.kind).target) {
      case fault_target_kind::node:
        return why_not_node(x);
      case fault_target_kind::link:
        return why_not_link(x);
      default:
        return simulated;
    }
  }

private:
  static constexpr auto simulated = "only troupe simulate can do that";

  std::string why_not_node(const fault& x) const {
    if (x.kind != fault_kind::kill && x.kind != fault_kind::pause)
      return simulated;
    if (x.kind == fault_kind::kill && x.lasts.count() > 0)
      return "serve itself decides when a node begins anew";
    return is_child(x.node) ? "" : "this process has not started that node";
  }

  std::string why_not_link(const fault& x) const {
    if (x.kind != fault_kind::reset && !rule_for(x.kind))
      return simulated;
    auto is_slowed = x.kind == fault_kind::delay || x.kind == fault_kind::rate;
    if (is_slowed && x.frames == frame_filter::heartbeat)
      return "heartbeats can be held back, but not slowed";
    for (auto& name : {x.node, is_both_ways(x.kind) ? x.peer : x.node})
      if (name != nodes_[0] && !is_child(name))
        return "node " + name + " takes no orders from here";
    return "";
  }

  bool is_child(const std::string& name) const {
    auto at = std::find(nodes_.begin(), nodes_.end(), name);
    return at != nodes_.end() && world_.is_child(node_id(at - nodes_.begin()));
  }

  const std::vector<std::string>& nodes_;
  const live_world& world_;
};

} // namespace

result<void> check_live_plan(const std::vector<fault>& plan,
                             const std::vector<std::string>& nodes,
                             const live_world& world) {
  plan_judge judge{nodes, world};
  std::string wrong;
  for (auto& x : plan)
    if (auto why = judge.why_not(x); !why.empty())
      wrong += (wrong.empty() ? "" : "; ") + describe(x) + ": " + why;
  if (wrong.empty())
    return {};
  return failure{errc::invalid_input,
                 "faults that cannot happen here: " + wrong};
}

live_faults::live_faults(std::vector<std::string> nodes, live_world& world,
                         const logger& log)
  : nodes_(std::move(nodes)), world_(world), log_(log) {
}

live_faults::~live_faults() {
  for (fault_handle x = 0; x < all_.size(); ++x)
    heal(x);
}

node_id live_faults::place_of(const std::string& name) const {
  auto at = std::find(nodes_.begin(), nodes_.end(), name);
  CHECK(at != nodes_.end()); // or the plan was refused
  return node_id(at - nodes_.begin());
}

result<fault_handle> live_faults::begin(const fault& x) {
  carried_out done{x};
  auto is_node = form_of(x.kind).target == fault_target_kind::node;
  auto begun = is_node ? befall_node(done) : befall_link(done);
  if (!begun) {
    log_.warning("fault not begun: " + describe(x) + ": "
                 + begun.why().message);
    return begun.why();
  }
  log_.warning("fault begins: " + describe(x));
  done.is_over = !form_of(x.kind).lasts;
  all_.push_back(std::move(done));
  return all_.size() - 1;
}

result<void> live_faults::befall_node(carried_out& x) {
  auto node = place_of(x.what.node);
  auto is_pause = x.what.kind == fault_kind::pause;
  if (!world_.send_signal(node, is_pause ? SIGSTOP : SIGKILL))
    return failure{errc::not_found,
                   "there is no process of node " + x.what.node};
  if (is_pause)
    ++pauses_[node];
  return {};
}

result<void> live_faults::befall_link(carried_out& x) {
  auto a = place_of(x.what.node), b = place_of(x.what.peer);
  auto obeyed = order(x, a, b);
  if (obeyed && is_both_ways(x.what.kind))
    obeyed = order(x, b, a);
  if (obeyed)
    return {};
  heal_links(x);
  return failure{errc::not_found, "one end of the link is gone"};
}

bool live_faults::order(carried_out& x, node_id from, node_id to) {
  link_order out;
  out.id = ++last_order_;
  out.rule.peer = to;
  if (x.what.kind == fault_kind::reset) {
    out.what = link_order::kind::reset;
  } else {
    out.rule.what = *rule_for(x.what.kind);
    out.rule.which = x.what.frames;
    out.rule.extra = x.what.extra;
    out.rule.bytes_per_second = x.what.bytes_per_second;
  }
  if (!world_.order(from, out))
    return false;
  x.orders.emplace_back(from, out.id);
  return true;
}

void live_faults::heal(fault_handle x) {
  auto& done = all_.at(x);
  if (done.is_over)
    return;
  done.is_over = true;
  if (done.what.kind == fault_kind::pause) {
    auto node = place_of(done.what.node);
    if (--pauses_[node] == 0)
      world_.send_signal(node, SIGCONT);
  }
  heal_links(done);
  log_.warning("fault healed: " + describe(done.what));
}

/// What is not taken now is said again: nothing stays broken.
void live_faults::heal_links(const carried_out& x) {
  for (auto& [node, id] : x.orders)
    unsaid_.emplace_back(node, link_order{link_order::kind::heal, id, {}});
  say_again();
}

void live_faults::say_again() {
  std::erase_if(unsaid_, [this](auto& x) {
    return world_.order(x.first, x.second)
           || world_.state_of(x.first) == process_state::is_gone;
  });
}

std::string live_faults::look_at(const carried_out& x) const {
  auto state = [&] { return world_.state_of(place_of(x.what.node)); };
  if (x.what.kind == fault_kind::kill)
    return state() == process_state::is_gone ? "its process is gone" : "";
  if (x.what.kind == fault_kind::pause)
    return !x.is_over && state() == process_state::is_stopped
             ? "its process is stopped"
             : "";
  uint64_t count = 0;
  for (auto& [node, id] : x.orders)
    if (auto at = effects_.find(id); at != effects_.end())
      count += at->second;
  return count == 0 ? "" : std::to_string(count) + " " + effect_of(x.what.kind);
}

std::optional<std::string> live_faults::evidence(fault_handle x) {
  auto& done = all_.at(x);
  auto seen = look_at(done);
  if (!seen.empty() && done.proof.empty())
    log_.warning("fault verified: " + describe(done.what) + ": " + seen);
  if (!seen.empty())
    done.proof = seen;
  if (done.proof.empty())
    return std::nullopt;
  return done.proof;
}

void live_faults::look() {
  say_again();
  for (auto& x : world_.news())
    effects_[x.id] = x.count;
  for (fault_handle x = 0; x < all_.size(); ++x)
    if (all_[x].proof.empty())
      evidence(x);
}

std::vector<std::string> live_faults::active() const {
  std::vector<std::string> out;
  for (auto& x : all_)
    if (!x.is_over)
      out.push_back(describe(x.what));
  return out;
}

} // namespace troupe
