#include "actors/front_trouble.hpp"

namespace troupe {

void publish_trouble(gateway_status& status,
                     const std::map<node_id, node_lost>& lost,
                     const rank_outlook& outlook, bool started) {
  std::string text;
  if (!started)
    text = "the cluster is starting";
  std::set<node_id> left;
  for (auto& [node, x] : lost)
    if (x.has_left)
      left.insert(node);
    else
      text += (text.empty() ? "" : "; ") + sentence(x);
  if (outlook.are_awaited())
    text += lost.empty() ? "experts that were lost are being placed anew"
                         : "; its experts are being loaded elsewhere";
  auto can_serve = started && outlook.can_begin();
  std::lock_guard lock{status.mutex};
  status.trouble = text;
  status.nodes_lost = lost.size() - left.size();
  status.nodes_left = left.size();
  status.left = std::move(left);
  status.lost.clear();
  for (auto& [node, x] : lost)
    status.lost[node] = x.why;
  status.refusal = can_serve ? "" : text;
  status.usable_ranks = outlook.num_alive();
}

} // namespace troupe
