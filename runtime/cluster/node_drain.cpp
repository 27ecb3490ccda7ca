#include "runtime/cluster/node_drain.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

failure refuse(std::string why) {
  return {errc::refused, std::move(why)};
}

std::string seconds_of(clock::instant::duration x) {
  auto whole = std::chrono::duration_cast<std::chrono::seconds>(x);
  return std::to_string(whole.count()) + " s";
}

} // namespace

result<node_id> may_leave(const topology& cluster, const membership& who,
                          const std::string& name) {
  auto i = std::ranges::find(cluster.nodes, name,
                             [](auto& x) { return x.name; });
  if (i == cluster.nodes.end())
    return failure{errc::not_found, "the cluster has no node named " + name};
  auto node = node_id(i - cluster.nodes.begin());
  auto serves = [&](size_t n) {
    return who.state_of(node_id(n)) == membership::state::serving;
  };
  if (node == 0)
    return refuse("node " + name
                  + " is the first one, without which the cluster ends: it "
                    "cannot leave");
  if (!who.is_started())
    return refuse("the cluster is starting");
  if (!serves(node))
    return refuse("node " + name + " does not serve");
  if (i->ranks.empty())
    return node;
  for (size_t n = 0; n < cluster.nodes.size(); ++n)
    if (n != node && serves(n) && !cluster.nodes[n].ranks.empty())
      return node;
  return refuse("no other node than " + name + " has ranks at present");
}

void node_drain::begin(node_id node, std::string name,
                       clock::instant::duration limit, clock::instant now) {
  CHECK(is_idle());
  phase_ = phase::asking;
  node_ = node;
  limit_ = limit;
  until_ = now + limit;
  asks_again_ = has_no_experts_ = has_no_requests_ = is_needed_ = false;
  progress_ = drain_progress{std::move(name)};
  orders_.push_back(order::move_experts);
}

std::vector<node_drain::order> node_drain::take_orders() {
  return std::exchange(orders_, {});
}

void node_drain::give_up(const failure& why) {
  progress_->state = drain_state::stays;
  progress_->why = why.message;
  orders_.push_back(order::stay);
  phase_ = phase::idle;
}

result<void> node_drain::take_back(const std::string& name) {
  if (is_idle() || (!name.empty() && progress_->node != name))
    return refuse(name.empty() ? "no node is leaving"
                               : "node " + name + " is not leaving");
  if (phase_ == phase::ending)
    return refuse("node " + progress_->node
                  + " was told to end already: it may join again");
  give_up({errc::cancelled, "that it was to leave was taken back"});
  return {};
}

bool node_drain::has_heard(const lost_processes& known) const {
  return std::ranges::all_of(lost_, [&](auto& x) {
    auto i = known.find(x.first);
    return i != known.end() && i->second == x.second;
  });
}

void node_drain::lost(node_id node, uint64_t incarnation) {
  lost_.try_emplace(node, incarnation); // a successor has not served
  has_no_experts_ = has_no_requests_ = false;
}

void node_drain::back(node_id node) {
  lost_.erase(node);
}

void node_drain::experts(node_id node, const experts_told& x) {
  auto is_under_way = phase_ == phase::asking || phase_ == phase::emptying;
  if (!is_under_way || node != node_)
    return;
  if (x.why && x.why->code == errc::refused)
    return give_up(*x.why);
  if (x.why) { // another change is under way, or this one has failed
    progress_->why = x.why->message;
    has_no_experts_ = false;
    asks_again_ = true;
    return;
  }
  progress_->why.clear();
  progress_->experts_moved = x.moved;
  progress_->num_experts = std::max(x.all, progress_->num_experts);
  has_no_experts_ = x.is_done && has_heard(x.lost);
  if (phase_ == phase::emptying)
    return;
  phase_ = phase::emptying;
  orders_.push_back(order::move_requests);
}

void node_drain::requests(node_id node, const requests_told& x,
                          clock::instant now) {
  if (phase_ != phase::emptying || node != node_)
    return;
  progress_->requests_left = x.left;
  is_needed_ = x.is_needed;
  has_no_requests_ = x.left == 0 && !is_needed_ && has_heard(x.lost);
  look(now);
}

void node_drain::look(clock::instant now) {
  if (phase_ != phase::emptying || !has_no_experts_ || !has_no_requests_)
    return;
  phase_ = phase::ending;
  until_ = now + patience_of_end;
  progress_->state = drain_state::ending;
  progress_->why.clear();
  orders_.push_back(order::end_node);
}

bool node_drain::gone(node_id node, const std::string& why) {
  if (is_idle() || node != node_)
    return false;
  auto at = std::exchange(phase_, phase::idle);
  if (at == phase::ending) {
    progress_->state = drain_state::left;
    return true;
  }
  progress_->state = drain_state::lost;
  progress_->why = why;
  return false;
}

void node_drain::tick(clock::instant now) {
  if (is_idle())
    return;
  look(now);
  if (now < until_) {
    if (std::exchange(asks_again_, false))
      orders_.push_back(order::move_experts);
    return;
  }
  if (phase_ == phase::ending)
    return orders_.push_back(order::gone);
  auto why = is_needed_               ? "nobody else could run requests"
             : progress_->why.empty() ? sentence(*progress_)
                                      : progress_->why;
  give_up({errc::deadline_passed,
           "its time of " + seconds_of(limit_) + " is over; " + why});
}

} // namespace troupe
