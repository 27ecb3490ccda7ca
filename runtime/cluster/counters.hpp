#pragma once

/// What a node counts. Shared by its actors, read by whoever reports: plain
/// relaxed atomics, no order between them.

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace troupe {

enum class counter : uint8_t {
  steps,
  generated_tokens,
  running,         ///< A gauge.
  waiting,         ///< A gauge.
  kv_blocks_total, ///< A gauge.
  kv_blocks_free,  ///< A gauge.
  preemptions,     ///< Requests that lost their blocks to older ones.
  dispatch_bytes,
  combine_bytes,
  ranks_used,
  workers_used,
  requests_without_choice, ///< Their logits were no finite numbers.
  steps_again, ///< Abandoned, since somebody who had rows of theirs was lost.
  kv_blocks_cached, ///< A gauge: free ones that can still be found.
  tokens_looked_up, ///< In the cache of prefixes.
  tokens_found,     ///< Of these.
  placement_epoch,  ///< A gauge; where placements are written, as what follows.
  changes_begun,    ///< Of the placement.
  changes_done,     ///< Of them.
  changes_aborted,  ///< Of them.
  last_change_us,   ///< A gauge: what the last one took that was done.
  experts_waiting,  ///< A gauge: of a layer, that no worker has.
  sections_behind,  ///< Of rows that a newer placement was known for.
  slots_free,       ///< A gauge, of a node's workers, as what follows.
  slots_loading,    ///< Until what they hold is verified, too.
  slots_serving,
  slots_retiring,
  store_blocks,   ///< A gauge: blocks that are kept on a disk, as what follows.
  store_off,      ///< A gauge: 1 where the disk has been given up.
  store_hits,     ///< Blocks that were asked for and came.
  store_misses,   ///< That were asked for and were not there.
  store_declined, ///< That were there, but computing them takes less.
  store_damaged,  ///< That were not what they should be.
  store_dropped,  ///< That were not written since the disk lags behind.
  store_errors,   ///< Reads and writes that failed.
  store_bytes_written,
  store_bytes_read,
  host_blocks,        ///< A gauge: blocks that are kept in host memory.
  host_hits,          ///< Blocks that were asked for and stood there.
  handed_blocks,      ///< That came from the rank that had a request before.
  handed_bytes,       ///< Of them.
  handed_late,        ///< Of them, when nobody waited for them any more.
  handed_early_bytes, ///< Of the bytes, what came before its request did.
  handed_wait_us,     ///< Requests waited for such blocks.
  grammars_compiled,  ///< For requests of this node's ranks, as what follows.
  grammar_bytes,      ///< A gauge: of programs, states and masks.
  num_counters,
};

constexpr size_t num_counters = size_t(counter::num_counters);

/// Returns the name as written above.
std::string_view name_of(counter x);

/// A snapshot.
using counts = std::array<uint64_t, num_counters>;

class node_counters {
public:
  void add(counter x, uint64_t n = 1) {
    values_[size_t(x)].fetch_add(n, std::memory_order_relaxed);
  }

  void subtract(counter x, uint64_t n = 1) {
    values_[size_t(x)].fetch_sub(n, std::memory_order_relaxed);
  }

  counts read() const {
    counts out;
    for (size_t i = 0; i < num_counters; ++i)
      out[i] = values_[i].load(std::memory_order_relaxed);
    return out;
  }

private:
  std::array<std::atomic<uint64_t>, num_counters> values_{};
};

/// Keeps one actor's share of a gauge up to date.
class gauge {
public:
  gauge() = default;

  gauge(node_counters* counters, counter which)
    : counters_(counters), which_(which) {
  }

  void set(uint64_t value) {
    counters_->add(which_, value - value_);
    value_ = value;
  }

private:
  node_counters* counters_ = nullptr;
  counter which_ = counter::running;
  uint64_t value_ = 0;
};

} // namespace troupe
