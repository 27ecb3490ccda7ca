#include "runtime/cluster/request_table.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

request_table::owner request_table::accept(request_id id,
                                           const std::vector<rank_id>& usable) {
  CHECK(!usable.empty() && !entries_.contains(id));
  auto rank = *std::ranges::min_element(usable, {}, [this](rank_id x) {
    return std::pair{load_[x], x};
  });
  ++load_[rank];
  auto& x = entries_[id];
  x.who = {rank, 1};
  return x.who;
}

request_table::verdict request_table::commit(request_id id, uint32_t term,
                                             const generation_event& event) {
  auto i = entries_.find(id);
  if (i == entries_.end())
    return verdict::unknown;
  auto& x = i->second;
  if (term != x.who.term)
    return verdict::refused;
  if (event.first_position != x.next_position
      && !PLANTED(duplicate_token_committed))
    return event.first_position > x.next_position ? verdict::gap
                                                  : verdict::refused;
  x.next_position += static_cast<uint32_t>(event.tokens.size());
  if (event.finish != finish_reason::none)
    remove(id);
  return verdict::committed;
}

std::optional<request_table::owner> request_table::remove(request_id id) {
  auto i = entries_.find(id);
  if (i == entries_.end())
    return std::nullopt;
  auto who = i->second.who;
  --load_[who.rank];
  entries_.erase(i);
  return who;
}

std::vector<request_id> request_table::requests_of(rank_id rank) const {
  std::vector<request_id> out;
  for (auto& [id, x] : entries_)
    if (x.who.rank == rank)
      out.push_back(id);
  return out;
}

std::vector<request_id> request_table::all() const {
  std::vector<request_id> out;
  for (auto& [id, x] : entries_)
    out.push_back(id);
  return out;
}

} // namespace troupe
