#pragma once

/// What a rank or a worker counts of itself, for people and balancers. Each
/// number has one writer, whose part it is; anybody may read: relaxed atomics,
/// no order between them.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace troupe {

/// A number of one writer: adding takes no locked instruction.
class own_count {
public:
  void set(uint64_t x) {
    value_.store(x, std::memory_order_relaxed);
  }

  void add(uint64_t x) {
    set(get() + x);
  }

  uint64_t get() const {
    return value_.load(std::memory_order_relaxed);
  }

private:
  std::atomic<uint64_t> value_{0};
};

struct rank_counts {
  own_count running; ///< Requests; this one and the next three are gauges.
  own_count waiting;
  own_count kv_blocks_free;
  own_count kv_blocks_cached; ///< Of them.
  own_count steps;
  own_count tokens; ///< Generated.
  /// Of a step, in picoseconds: gauges, 0 if not known.
  own_count step_ps;         ///< Whatever it has.
  own_count request_ps;      ///< For each that decodes.
  own_count kv_token_ps;     ///< For each of their tokens in the cache.
  own_count prompt_token_ps; ///< For each that is read.
  own_count prompt_pair_ps;  ///< For each of them and what it attends to.
};

struct worker_counts {
  own_count runs;
  own_count rows;    ///< Pairs of a row and an expert.
  own_count pair_ps; ///< What one takes; 0: not known.
};

/// How many rows have chosen each logical expert.
class expert_counts {
public:
  expert_counts() = default;

  expert_counts(uint32_t num_moe_layers, uint32_t num_experts)
    : num_experts_(num_experts), num_(size_t{num_moe_layers} * num_experts),
      counts_(std::make_unique<own_count[]>(num_)) {
  }

  /// `chosen` [rows * top_k]: logical experts of rows of that layer.
  void add(uint32_t moe_layer, std::span<const int32_t> chosen) {
    auto* of_layer = counts_.get() + size_t{moe_layer} * num_experts_;
    for (auto expert : chosen)
      of_layer[expert].add(1);
  }

  /// Adds them to `sum`, [units * moe layers * experts], which grows to that.
  void add_to(std::vector<uint64_t>& sum, size_t unit = 0) const {
    auto first = unit * num_;
    if (sum.size() < first + num_)
      sum.resize(first + num_);
    for (size_t i = 0; i < num_; ++i)
      sum[first + i] += counts_[i].get();
  }

private:
  size_t num_experts_ = 0;
  size_t num_ = 0;
  std::unique_ptr<own_count[]> counts_; ///< [moe layers * experts]
};

} // namespace troupe
