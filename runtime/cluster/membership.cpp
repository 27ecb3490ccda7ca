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
    case membership::state::serving:
      return "serving";
    case membership::state::lost:
      return "lost";
  }
  return "unknown";
}

} // namespace

std::string sentence_for_successor(const std::string& name) {
  return "node " + name
         + " was lost while the cluster was starting, which it has to do again";
}

membership::membership(std::vector<std::string> names, uint32_t last_view,
                       std::vector<uint32_t> epochs, std::set<node_id> later)
  : later_(std::move(later)), last_view_(last_view),
    epochs_(std::move(epochs)) {
  CHECK(!names.empty() && !later_.contains(0));
  for (auto& name : names)
    nodes_.push_back({{name, 0, {}}, state::absent, {name, 0, {}}});
}

result<node_id> membership::admit(const std::string& name) const {
  auto i = std::ranges::find(nodes_, name, [](auto& x) { return x.who.name; });
  if (i == nodes_.end())
    return failure{errc::refused, "the topology has no node named " + name};
  if (i->what == state::lost && !started_)
    return failure{errc::refused, sentence_for_successor(name)};
  if (is_there(*i))
    return failure{errc::refused, "there is a node named " + name + " already"};
  return node_id(i - nodes_.begin());
}

void membership::rename(node_id node, std::string name) {
  CHECK(later_.contains(node) && !is_there(nodes_[node]));
  CHECK(
    std::ranges::none_of(nodes_, [&](auto& x) { return x.who.name == name; }));
  nodes_[node].who.name = std::move(name);
}

void membership::joined(node_id node, member who) {
  CHECK(node < nodes_.size() && !is_there(nodes_[node]) && !is_early(node));
  nodes_[node] = {std::move(who), state::loading, nodes_[node].known};
}

void membership::loaded(node_id node) {
  if (node < nodes_.size() && nodes_[node].what == state::loading)
    nodes_[node].what = state::ready;
}

/// Whom the start waits for.
bool membership::all(state at_least) const {
  for (size_t n = 0; n < nodes_.size(); ++n) {
    auto what = nodes_[n].what;
    auto is_fit = what >= at_least && what != state::lost;
    if (!is_fit && !is_early(node_id(n)))
      return false;
  }
  return true;
}

bool membership::is_there(const entry& x) {
  return x.what != state::absent && x.what != state::lost;
}

member_state membership::state_in_view(const entry& x) {
  if (x.what == state::serving)
    return member_state::serving;
  auto is_known = x.what == state::ready || x.what == state::connected;
  return is_known ? member_state::joining : member_state::absent;
}

std::optional<view> membership::take_view() {
  auto is_news = !has_view_ && all(state::ready);
  for (auto& x : nodes_)
    is_news |= started_ && x.what == state::ready && x.since_view == 0;
  if (!is_news)
    return std::nullopt;
  has_view_ = true;
  view out{++last_view_, epochs_, {}};
  for (auto& x : nodes_) {
    if (x.what == state::ready && x.since_view == 0)
      x.since_view = last_view_;
    if (x.since_view != 0)
      x.known = x.who;
    out.members.push_back(x.known); // not who is loading, and may be refused
    out.members.back().is = state_in_view(x);
  }
  return out;
}

view membership::as_it_is(view x) const {
  for (size_t n = 0; n < x.members.size(); ++n) {
    auto& now = nodes_[n];
    auto is_it = now.who.incarnation == x.members[n].incarnation;
    if (!is_it || now.what == state::lost)
      x.members[n].is = member_state::absent;
    else if (now.what == state::serving)
      x.members[n].is = member_state::serving;
  }
  return x;
}

void membership::connected(node_id node, uint32_t view) {
  if (node >= nodes_.size() || view > last_view_)
    return;
  auto& x = nodes_[node];
  x.holds = std::max(x.holds, view);
  if (x.what == state::ready && x.since_view != 0 && x.holds >= x.since_view)
    x.what = state::connected;
}

bool membership::take_start() {
  if (started_ || !all(state::connected))
    return false;
  for (size_t n = 0; n < nodes_.size(); ++n)
    if (!later_.contains(node_id(n)))
      nodes_[n].what = state::serving;
  return started_ = true;
}

/// By all who have to: who is loading, or came with a later one, is not in it.
bool membership::is_held_by_all(uint32_t view) const {
  return std::ranges::all_of(nodes_, [=](auto& x) {
    return state_in_view(x) == member_state::absent || x.since_view == 0
           || x.since_view > view || x.holds >= view;
  });
}

std::vector<node_id> membership::take_back() {
  std::vector<node_id> out;
  for (size_t n = 0; started_ && n < nodes_.size(); ++n) {
    auto& x = nodes_[n];
    if (x.what != state::connected || !is_held_by_all(x.since_view))
      continue;
    x.what = state::serving;
    out.push_back(node_id(n));
  }
  return out;
}

bool membership::suspected(node_id by, node_id node, uint64_t incarnation) {
  auto n = nodes_.size();
  if (by >= n || node >= n || node == 0 || nodes_[by].what == state::lost)
    return false;
  auto& x = nodes_[node];
  if (x.what == state::absent || x.who.incarnation != incarnation)
    return false;
  // Who has yet to come in does not put out who is in.
  if (started_ && x.what == state::serving && nodes_[by].what != state::serving)
    return false;
  return std::exchange(x.what, state::lost) != state::lost;
}

std::string membership::missing() const {
  std::string out;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    auto& x = nodes_[n];
    auto is_there = x.what == state::connected || x.what == state::serving;
    if (!is_there && !later_.contains(node_id(n)))
      out += (out.empty() ? "" : ", ") + x.who.name + " (" + to_string(x.what)
             + ")";
  }
  return out;
}

} // namespace troupe
