#pragma once

/// Which rank reads a prompt, from which cached prefix on, and how much of it
/// in which batch. All ranks of a unit wait for the slowest one, so batches are
/// cut to the same modelled time, not to the same tokens: what is read late in
/// a long prompt attends to all before it.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace troupe::balance {

/// Seconds; learnt by running_fit, or given.
struct prefill_prices {
  double token = 0;   ///< Of each that is computed.
  double pair = 0;    ///< Of a token and one that it attends to.
  double fetched = 0; ///< A cached token that comes from elsewhere.

  /// What `count` tokens take behind `first` others.
  double seconds(uint64_t first, uint64_t count) const;

  /// So many tokens behind `first` others take no longer than this.
  uint64_t tokens_within(double seconds, uint64_t first) const;
};

/// A prompt in the queue of a rank.
struct prefill_prompt {
  uint32_t tokens = 0;
  uint32_t done = 0; ///< Cached, or computed by earlier batches.
};

/// What a batch reads of the prompt `index` of its rank's queue.
struct prompt_chunk {
  uint32_t index = 0;
  uint32_t first = 0;
  uint32_t count = 0;

  friend bool operator==(const prompt_chunk&, const prompt_chunk&) = default;
};

struct prefill_choice {
  uint32_t rank = 0;
  uint32_t cached = 0;  ///< Tokens that need not be computed.
  uint32_t fetched = 0; ///< Of these, come from elsewhere.
  double seconds = 0;   ///< Until all of it is computed.

  friend bool operator==(const prefill_choice&, const prefill_choice&)
    = default;
};

class prefill_balancer {
public:
  /// `batch_seconds`: of a batch, beside what all have in common, at most;
  /// `batch_tokens`: of a rank in a batch, at most.
  prefill_balancer(const prefill_prices& prices, double batch_seconds,
                   uint32_t batch_tokens)
    : prices_(prices), batch_seconds_(batch_seconds),
      batch_tokens_(batch_tokens) {
  }

  /// The rank that has computed a prompt first: behind its queue, from the
  /// longest prefix that it has, or that it could have fetched meanwhile.
  /// `backlog`: [ranks] seconds; `cached`: [ranks] tokens of the prompt that
  /// the rank has; `elsewhere`: that lie in memory, on a disk or on a node
  /// that anybody can read. At least one token is computed.
  prefill_choice place(uint32_t tokens, std::span<const double> backlog,
                       std::span<const uint32_t> cached,
                       uint32_t elsewhere) const;

  /// What the next batch should take on every rank: the mean of what they can
  /// do within the limit.
  double next_batch(std::span<const double> backlog) const;

  /// The oldest first, each as far as it fits into `seconds`; the last one of
  /// them is cut. At least one token, if there is any.
  std::vector<prompt_chunk> cut(std::span<const prefill_prompt> queue,
                                double seconds) const;

private:
  prefill_prices prices_;
  double batch_seconds_;
  uint32_t batch_tokens_;
};

} // namespace troupe::balance
