#include "runtime/cluster/membership.hpp"

#include <algorithm>

namespace troupe {

namespace {

const char* to_string(membership::state x) {
  switch (x) {
    case membership::state::absent:
      return "absent";
    case membership::state::loading:
      return "loading";
    case membership::state::ready:
      return "connecting";
    case membership::state::connected:
      return "connected";
    case membership::state::lost:
      return "lost";
  }
  return "unknown";
}

} // namespace

std::string sentence_for_successor(const std::string& name) {
  return "node " + name
         + " was lost; it can come back after the cluster has been restarted";
}

membership::membership(std::vector<std::string> names) {
  CHECK(!names.empty());
  for (auto& name : names)
    nodes_.push_back({{std::move(name), 0, {}}, state::absent});
}

result<node_id> membership::admit(const std::string& name) const {
  auto i = std::ranges::find(nodes_, name, [](auto& x) { return x.who.name; });
  if (i == nodes_.end())
    return failure{errc::refused, "the topology has no node named " + name};
  if (i->what == state::lost)
    return failure{errc::refused, sentence_for_successor(name)};
  if (i->what != state::absent)
    return failure{errc::refused, "there is a node named " + name + " already"};
  return node_id(i - nodes_.begin());
}

void membership::joined(node_id node, member who) {
  CHECK(node < nodes_.size() && nodes_[node].what == state::absent);
  nodes_[node] = {std::move(who), state::loading};
}

void membership::loaded(node_id node) {
  if (node < nodes_.size() && nodes_[node].what == state::loading)
    nodes_[node].what = state::ready;
}

bool membership::all(state at_least) const {
  return std::ranges::all_of(nodes_, [=](auto& x) {
    return x.what >= at_least && x.what != state::lost;
  });
}

std::optional<view> membership::take_view() {
  if (view_published_ || !all(state::ready))
    return std::nullopt;
  view_published_ = true;
  view out{1, {placement::first_epoch}, {}};
  for (auto& x : nodes_)
    out.members.push_back(x.who);
  return out;
}

void membership::connected(node_id node) {
  if (node < nodes_.size() && nodes_[node].what == state::ready)
    nodes_[node].what = state::connected;
}

bool membership::take_start() {
  if (started_ || !all(state::connected))
    return false;
  return started_ = true;
}

bool membership::suspected(node_id by, node_id node, uint64_t incarnation) {
  auto n = nodes_.size();
  if (by >= n || node >= n || node == 0 || nodes_[by].what == state::lost)
    return false;
  auto& x = nodes_[node];
  if (x.what == state::absent || x.who.incarnation != incarnation)
    return false;
  return std::exchange(x.what, state::lost) != state::lost;
}

std::string membership::missing() const {
  std::string out;
  for (auto& x : nodes_)
    if (x.what != state::connected)
      out += (out.empty() ? "" : ", ") + x.who.name + " (" + to_string(x.what)
             + ")";
  return out;
}

} // namespace troupe
