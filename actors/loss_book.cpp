#include "actors/loss_book.hpp"

namespace troupe {

bool loss_book::lose(const node_lost& msg) {
  auto [i, is_news] = lost_.try_emplace(msg.node, msg);
  if (!is_news && !i->second.has_left)
    i->second.why = msg.why;
  last_[msg.node] = i->second;
  return is_news;
}

lost_processes loss_book::processes() const {
  lost_processes out;
  for (auto& [node, x] : lost_)
    out[node] = x.incarnation;
  return out;
}

std::string loss_book::trouble(const rank_outlook& outlook,
                               bool is_started) const {
  std::string text;
  if (!is_started)
    text = "the cluster is starting";
  for (auto& [node, x] : lost_)
    if (!x.has_left)
      text += (text.empty() ? "" : "; ") + sentence(x);
  if (outlook.are_awaited())
    text += text.empty() ? "experts that were lost are being placed anew"
                         : "; its experts are being loaded elsewhere";
  return text;
}

void loss_book::publish(gateway_status& status, const rank_outlook& outlook,
                        bool is_started) const {
  auto text = trouble(outlook, is_started);
  auto can_serve = is_started && outlook.can_begin();
  std::lock_guard lock{status.mutex};
  status.left.clear();
  status.later.clear();
  status.lost.clear();
  for (auto& [node, x] : lost_) {
    status.lost[node] = x.why;
    if (is_not_here_yet(x))
      status.later.insert(node);
    else if (x.has_left)
      status.left.insert(node);
  }
  status.nodes_lost = lost_.size() - status.left.size() - status.later.size();
  status.nodes_later = status.later.size();
  status.nodes_left = status.left.size();
  status.nodes_came_back = num_back_;
  status.refusal = can_serve ? "" : text;
  status.trouble = std::move(text);
  status.usable_ranks = outlook.num_alive();
}

} // namespace troupe
