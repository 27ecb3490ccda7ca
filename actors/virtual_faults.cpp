#include "actors/virtual_faults.hpp"

#include "runtime/cluster/told_to_end.hpp"
#include "runtime/sim/random_moves.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// What leaving may take, as an operator would have it.
constexpr std::chrono::seconds patience_of_leave{20};

std::string counted(uint64_t n, const char* what) {
  return n == 0 ? std::string{} : std::to_string(n) + " " + what;
}

} // namespace

virtual_faults::virtual_faults(world& in, virtual_company& company,
                               virtual_clients& clients, run_checks& checks)
  : world_(in), company_(company), clients_(clients), checks_(checks),
    moves_(in.stream("moves")) {
}

void virtual_faults::note(trace_kind kind, const fault& x,
                          fault_handle handle) {
  auto node = find(x.node);
  auto peer = find(x.peer);
  world_.record({.kind = kind,
                 .node = node ? *node : no_node,
                 .peer = peer ? *peer : no_node,
                 .a = handle,
                 .b = uint64_t(x.kind)});
}

std::optional<node_id> virtual_faults::find(const std::string& name) const {
  auto& nodes = company_.cluster().nodes;
  for (node_id n = 0; n < nodes.size(); ++n)
    if (nodes[n].name == name)
      return n;
  return std::nullopt;
}

result<fault_handle> virtual_faults::begin(const fault& x) {
  if (auto why = obstacle(x))
    return *why;
  auto handle = all_.size();
  checks_.fault_began(x); // before what it does is heard of
  note(trace_kind::fault_began, x, handle);
  all_.emplace_back(x, carry_out(x));
  return handle;
}

void virtual_faults::heal(fault_handle x) {
  auto& [what, done] = all_.at(x);
  if (done.heal)
    done.heal();
  note(trace_kind::fault_healed, what, x);
}

std::optional<std::string> virtual_faults::evidence(fault_handle x) {
  auto text = all_.at(x).second.proof();
  if (text.empty())
    return std::nullopt;
  return text;
}

bool virtual_faults::has_damaged() const {
  return std::ranges::any_of(
    damages_, [this](auto x) { return company_.net().num_hit(x) > 0; });
}

std::optional<failure> virtual_faults::obstacle(const fault& x) const {
  auto none = [](std::string why) {
    return failure{errc::not_found, std::move(why)};
  };
  if (x.kind == fault_kind::join)
    return obstacle_to_join(x);
  switch (form_of(x.kind).target) {
    case fault_target_kind::node:
      if (auto node = find(x.node); !node || !company_.find(*node))
        return none("there is no process of node " + x.node);
      if (x.kind == fault_kind::move_experts || x.kind == fault_kind::leave
          || x.kind == fault_kind::stay)
        return obstacle_to_moves();
      break;
    case fault_target_kind::link:
      if (!find(x.node) || !find(x.peer))
        return none("there is no link " + x.node + " " + x.peer);
      break;
    case fault_target_kind::request:
      if (!x.request)
        return none("no request is meant");
      if (x.kind == fault_kind::client_vanish && !clients_.is_there(*x.request))
        return none("request " + std::to_string(*x.request) + " is not open");
  }
  return std::nullopt;
}

std::optional<failure> virtual_faults::obstacle_to_join(const fault& x) const {
  auto node = find(x.node);
  if (!node || company_.find(*node))
    return failure{errc::not_found,
                   node ? "there is a process of node " + x.node + " already"
                        : "there is no node " + x.node};
  if (!company_.find(0))
    return failure{errc::not_found, "there is nobody whom it could join"};
  return std::nullopt;
}

std::optional<failure> virtual_faults::obstacle_to_moves() const {
  if (!company_.front() || !company_.front()->placed())
    return failure{errc::not_found, "there is nobody who could move them"};
  return std::nullopt;
}

virtual_faults::carried_out virtual_faults::carry_out(const fault& x) {
  switch (form_of(x.kind).target) {
    case fault_target_kind::node:
      return befall_node(x);
    case fault_target_kind::link:
      return befall_link(x);
    default:
      return befall_client(x);
  }
}

// -- nodes --------------------------------------------------------------------

virtual_faults::carried_out virtual_faults::befall_node(const fault& x) {
  auto node = *find(x.node);
  switch (x.kind) {
    case fault_kind::kill:
      return kill(node);
    case fault_kind::pause:
      return pause(node);
    case fault_kind::slow:
      return slow(node, x.factor);
    case fault_kind::move_experts:
      return move_experts(node);
    case fault_kind::leave:
      return let_leave(node);
    case fault_kind::join:
      return let_join(node);
    case fault_kind::stay:
      return let_stay(node);
    default:
      return fail_device(x, node);
  }
}

virtual_faults::carried_out virtual_faults::kill(node_id node) {
  auto life = company_.find(node)->life();
  company_.crash(node);
  return {.heal =
            [this, node] {
              if (node == 0 || company_.find(0)) // whom it would join
                company_.start(node);
            },
          .proof =
            [this, life] {
              return std::string{world_.is_alive(life) ? ""
                                                       : "its process is gone"};
            }};
}

virtual_faults::carried_out virtual_faults::pause(node_id node) {
  auto life = company_.find(node)->life();
  ++pauses_[node];
  world_.pause(node);
  auto stood = std::make_shared<bool>(world_.is_paused(life));
  return {
    .heal =
      [this, node] {
        if (--pauses_[node] == 0)
          world_.resume(node);
      },
    .proof = [stood] { return std::string{*stood ? "it stood still" : ""}; }};
}

virtual_faults::carried_out virtual_faults::slow(node_id node, double factor) {
  auto device = company_.device_of(node);
  auto before = device->num_operations();
  auto& all = slownesses_[node];
  all.insert(factor);
  world_.slow(node, *all.rbegin());
  auto count = [device, before] { return device->num_operations() - before; };
  auto done = std::make_shared<std::optional<uint64_t>>();
  return {.heal =
            [this, node, factor, count, done] {
              *done = count();
              auto& all = slownesses_[node];
              all.erase(all.find(factor));
              world_.slow(node, all.empty() ? 1 : *all.rbegin());
            },
          .proof =
            [count, done] {
              return counted(*done ? **done : count(), "slow operations");
            }};
}

/// As an operator would: what comes of it is the company's.
virtual_faults::carried_out virtual_faults::move_experts(node_id node) {
  auto& front = *company_.front();
  auto said = std::make_shared<std::string>();
  // Of the first unit that has a worker there.
  auto& workers = company_.cluster().nodes[node].workers;
  auto units = company_.cluster().units_of_workers();
  auto unit = workers.empty() ? unit_id{0} : units[workers.front()];
  front.change_placement(draw_moves(*front.placed(unit), node, moves_),
                         [said](const result<uint32_t>& x) {
                           *said = x ? "the epoch is " + std::to_string(*x)
                                     : x.why().message;
                         });
  return {.proof = [said] { return *said; }};
}

/// Likewise. Another process begins only if this one has left by then.
virtual_faults::carried_out virtual_faults::let_leave(node_id node) {
  company_.front()->drain(company_.name_of(node), patience_of_leave,
                          [](auto&) {});
  return {.heal =
            [this, node] {
              if (node != 0 && company_.find(0))
                company_.start(node);
            },
          .proof =
            [this, node, before = num_left_[node]] {
              return std::string{num_left_[node] > before ? "it has left" : ""};
            }};
}

virtual_faults::carried_out virtual_faults::let_join(node_id node) {
  company_.start(node);
  return {.proof = [this, node, before = num_back_[node]] {
    return std::string{num_back_[node] > before ? "it serves" : ""};
  }};
}

/// If it leaves at present.
virtual_faults::carried_out virtual_faults::let_stay(node_id node) {
  auto said = std::make_shared<std::string>();
  company_.front()->undrain(company_.name_of(node),
                            [said](const result<void>& x) {
                              *said = x ? "it stays" : x.why().message;
                            });
  return {.proof = [said] { return *said; }};
}

void virtual_faults::node_lost(node_id node) {
  auto* front = company_.front();
  auto last = front ? front->cluster().drain : std::nullopt;
  if (last && last->node == company_.name_of(node)
      && last->state == drain_state::left)
    ++num_left_[node];
}

bool virtual_faults::was_told_to_end(node_id node) const {
  auto* front = node == 0 ? nullptr : company_.front();
  return front
         && troupe::was_told_to_end(front->cluster(), company_.name_of(node));
}

virtual_faults::carried_out virtual_faults::fail_device(const fault& x,
                                                        node_id node) {
  auto device = company_.device_of(node);
  if (x.kind == fault_kind::device_fail) {
    auto n = device->num_operations() + x.nth;
    device->fail_operation(n);
    return {.proof = [device, n] {
      return std::string{device->has_failed_operation(n) ? "it failed" : ""};
    }};
  }
  auto n = device->num_allocations() + x.nth;
  device->fail_allocation(n);
  return {.proof = [device, n] {
    return std::string{device->has_failed_allocation(n) ? "it found none" : ""};
  }};
}

// -- links --------------------------------------------------------------------

virtual_faults::carried_out virtual_faults::watch(net_fault x,
                                                  std::string what) {
  return {.heal = [this, x] { company_.net().heal(x); },
          .proof =
            [this, x, what] {
              return counted(company_.net().num_hit(x), what.c_str());
            }};
}

virtual_faults::carried_out virtual_faults::befall_link(const fault& x) {
  auto& net = company_.net();
  auto a = *find(x.node), b = *find(x.peer);
  switch (x.kind) {
    case fault_kind::cut:
      return watch(net.cut(a, b, x.frames), "frames held back");
    case fault_kind::cut_oneway:
      return watch(net.cut_oneway(a, b, x.frames), "frames held back");
    case fault_kind::clog:
      return watch(net.clog(a, b, x.frames), "frames kept");
    case fault_kind::delay:
      return watch(net.delay(a, b, x.extra, x.frames), "frames delayed");
    case fault_kind::rate:
      return watch(net.rate(a, b, x.bytes_per_second, x.frames),
                   "frames slowed");
    case fault_kind::duplicate:
      return watch(net.duplicate(a, b, x.p, x.frames), "frames doubled");
    case fault_kind::corrupt:
      damages_.push_back(net.corrupt(a, b, x.p, x.frames));
      return watch(damages_.back(), "frames damaged");
    case fault_kind::replay:
      return watch(net.replay(a, b, x.p, x.frames), "frames repeated");
    default:
      return reset(a, b);
  }
}

virtual_faults::carried_out virtual_faults::reset(node_id a, node_id b) {
  auto broken = company_.net().reset(a, b);
  if (broken > 0)
    checks_.harm_done();
  return {.proof = [broken] { return counted(broken, "connections broken"); }};
}

// -- clients ------------------------------------------------------------------

virtual_faults::carried_out virtual_faults::befall_client(const fault& x) {
  auto i = *x.request;
  if (x.kind == fault_kind::client_vanish) {
    clients_.vanish(i);
    return {.proof = [] { return std::string{"it has gone"}; }};
  }
  auto count = [this, i, before = clients_.num_slowed(i)] {
    return clients_.num_slowed(i) - before;
  };
  clients_.slow_down(i, x.pace);
  auto done = std::make_shared<std::optional<uint64_t>>();
  return {.heal =
            [this, i, pace = x.pace, count, done] {
              *done = count();
              clients_.speed_up(i, pace);
            },
          .proof =
            [count, done] {
              return counted(*done ? **done : count(), "events waited");
            }};
}

} // namespace troupe
