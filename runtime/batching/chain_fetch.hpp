#pragma once

/// The full blocks of a request's beginning that a rank's cache lacks and a
/// store may have: which these are, and how they become blocks of the cache as
/// if they had been computed here. What the cache has of the beginning is held
/// meanwhile.
///
/// Blocks arrive in any order and become known in that of their chain; behind
/// one that does not come nothing does. A plain class: no clock, one thread.

#include "runtime/batching/sequence.hpp"

#include <map>
#include <span>

namespace troupe {

class chain_fetch {
public:
  /// `cache` keeps keys and outlives this.
  chain_fetch(prefix_cache& cache,
              std::shared_ptr<const generation_request> request,
              std::span<const int32_t> answered);

  /// What is on its way into a block is of nobody's cache any more.
  ~chain_fetch();

  chain_fetch(const chain_fetch&) = delete;
  chain_fetch& operator=(const chain_fetch&) = delete;

  /// In the order of the chain.
  const std::vector<kv_block>& missing() const {
    return missing_;
  }

  /// Blocks of the cache that are held, in order: those that it had, and those
  /// that have become known.
  const std::vector<uint32_t>& held() const {
    return held_;
  }

  /// Tokens before the first of them.
  uint32_t num_tokens_before() const;

  /// So many of the first ones will be told of, by take() or lose().
  void expect(uint32_t count);

  /// A block for missing()[i], which has arrived, if others are left `reserve`;
  /// nothing if it is of no use any more or has no room: it is lost then.
  /// `is_kept`: it stays where it came from; others are fresh to the cache.
  std::optional<uint32_t> take(uint32_t i, uint32_t reserve,
                               bool is_kept = false);

  /// It stands in its block. Not `ok`: something else does.
  void land(uint32_t i, bool ok);

  /// It does not come.
  void lose(uint32_t i);

  /// Gives back all that is not being written to. What comes later is lost.
  void let_go();

  /// Nothing is on its way, and nothing will be.
  bool is_over() const {
    return num_told_ == num_expected_ && landing_.empty();
  }

  /// Whether what still comes is of use.
  bool is_wanted() const {
    return !is_gone_ && end_ > num_known_;
  }

  /// The same, or nobody has said yet what comes.
  bool may_bring_more() const {
    return is_wanted() || (!is_told_ && !is_gone_);
  }

  /// That have become blocks of the cache.
  uint32_t num_known() const {
    return num_known_;
  }

private:
  /// A block that somebody writes to, or has.
  struct landing {
    uint32_t block = 0;
    bool is_kept = false;
    bool is_whole = false;
  };

  void cut(uint32_t end);
  void seal_next();

  prefix_cache& cache_;
  sequence of_;
  uint32_t num_found_ = 0; ///< Blocks that the cache had.
  std::vector<kv_block> missing_;
  std::vector<uint32_t> held_; ///< Known ones, in order.
  std::map<uint32_t, landing> landing_;
  uint32_t num_expected_ = 0;
  uint32_t num_told_ = 0;
  uint32_t end_ = 0;       ///< Of missing_, those before are of use.
  uint32_t num_known_ = 0; ///< Of missing_.
  bool is_told_ = false;   ///< What to expect.
  bool is_gone_ = false;
};

} // namespace troupe
