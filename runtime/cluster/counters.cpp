#include "runtime/cluster/counters.hpp"

namespace troupe {

std::string_view name_of(counter x) {
  constexpr std::array<std::string_view, num_counters> names
    = {"steps",
       "generated_tokens",
       "running",
       "waiting",
       "kv_blocks_total",
       "kv_blocks_free",
       "preemptions",
       "dispatch_bytes",
       "combine_bytes",
       "ranks_used",
       "workers_used",
       "requests_without_choice",
       "steps_again",
       "kv_blocks_cached",
       "tokens_looked_up",
       "tokens_found",
       "placement_epoch",
       "changes_begun",
       "changes_done",
       "changes_aborted",
       "last_change_us",
       "experts_waiting",
       "sections_behind",
       "slots_free",
       "slots_loading",
       "slots_serving",
       "slots_retiring",
       "store_blocks",
       "store_off",
       "store_hits",
       "store_misses",
       "store_declined",
       "store_damaged",
       "store_dropped",
       "store_errors",
       "store_bytes_written",
       "store_bytes_read",
       "host_blocks",
       "host_hits",
       "handed_blocks",
       "handed_bytes",
       "handed_late",
       "handed_early_bytes",
       "handed_wait_us",
       "grammars_compiled",
       "grammar_bytes"};
  return names[size_t(x)];
}

} // namespace troupe
