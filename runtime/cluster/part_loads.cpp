#include "runtime/cluster/part_loads.hpp"

#include "runtime/cluster/node_parts.hpp"

namespace troupe {

part_loads loads_of(const node_parts& parts) {
  part_loads out;
  for (auto& rank : parts.ranks) {
    auto& x = rank->counts;
    out.ranks.push_back({rank->id, x.running.get(), x.waiting.get(),
                         x.kv_blocks_free.get(), x.kv_blocks_cached.get(),
                         x.steps.get(), x.tokens.get(), x.step_ps.get(),
                         x.request_ps.get(), x.kv_token_ps.get(),
                         x.prompt_token_ps.get(), x.prompt_pair_ps.get()});
    rank->chosen.add_to(out.expert_rows, parts.units_of_ranks[rank->id]);
  }
  for (auto& worker : parts.workers)
    out.workers.push_back(
      {worker->id, worker->counts.runs.get(), worker->counts.rows.get()});
  return out;
}

} // namespace troupe
