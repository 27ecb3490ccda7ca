#pragma once

/// Which rank is given a request, and when a request that runs goes on at
/// another rank of its unit: the decisions of the balancer of requests, without
/// clock or mailbox.
///
///     staying --plan--> copying --its blocks are there--> copied --token-->
///     moved
///        ^                 |                                 |
///        +--refused, lost, too late; it has ended or another owner-+
///
/// By decode_balancer, at the prices that ranks have learnt (rank_times).
/// Before these are known requests go where the fewest are, and nobody moves.

#include "runtime/clock.hpp"
#include "runtime/cluster/part_loads.hpp"
#include "runtime/cluster/request_journal.hpp"
#include "runtime/cluster/request_settings.hpp"
#include "runtime/cluster/request_status.hpp"
#include "runtime/topology.hpp"

namespace troupe {

class request_mover {
public:
  request_mover(const request_settings& settings, const topology& cluster);

  /// What ranks say that their steps take.
  void hear(const part_loads& x);

  /// Of `usable` the one whose steps are the shortest with a request of so many
  /// tokens; all of them if nobody has room, or nothing is known.
  std::vector<rank_id> best_of(std::vector<rank_id> usable,
                               const request_journal& journal,
                               uint64_t tokens) const;

  /// That `from` should copy the blocks of a request to `to`; answer with
  /// copied().
  struct order {
    request_id request = 0;
    uint32_t term = 0;
    rank_id from = 0;
    rank_id to = 0;
  };

  /// What is to be begun now, between ranks of `usable`.
  std::vector<order> plan(const request_journal& journal,
                          const std::vector<rank_id>& usable,
                          clock::instant now);

  void copied(request_id request, uint32_t term, rank_id to, bool ok);

  /// Moves that have been given up since this was asked last, of requests that
  /// go on where they are: those ranks do not know. What is still being copied
  /// ends with copied() all the same, and no other move begins before.
  std::vector<order> take_given_up() {
    return std::exchange(given_up_, {});
  }

  /// Whether due() may have somebody.
  bool is_copied(request_id request) const;

  /// Who goes on with a request from its next token on, counted as moved: if it
  /// was copied, has its owner still, that rank is one of `usable` and, unless
  /// a policy from outside has chosen it, still has room and less to do.
  std::optional<rank_id> due(request_id request, const request_journal& journal,
                             const std::vector<rank_id>& usable);

  const request_status& status() const {
    return status_;
  }

  /// Whether status() has changed since this was asked last.
  bool take_news() {
    return std::exchange(is_news_, false);
  }

  /// Why the last plan of the policy from outside was not followed, once;
  /// empty: it was, or there was none.
  std::string take_complaint() {
    return std::exchange(complaint_, {});
  }

private:
  struct prices {
    double step = 0;
    balance::decode_prices each;
  };

  /// A move that has begun.
  struct course {
    order what;
    balance::request_move planned;
    double step = 0;           ///< Seconds that all ranks' steps have.
    bool is_of_policy = false; ///< From outside.
    bool is_copied = false;
    bool is_given_up = false; ///< copied() is still to come.
    clock::instant since = {};
  };

  static constexpr size_t most_recent = 64;

  std::optional<prices> price() const;
  balance::decode_rank
  rank_of(rank_id rank, const request_journal& journal,
          std::optional<request_id> except = std::nullopt) const;
  bool still_pays(const course& x, const request_journal& journal) const;
  bool may_move(const request_journal::running& x) const;
  void look_after(const request_journal& journal, clock::instant now);
  void plan_unit(const std::vector<rank_id>& ranks,
                 const request_journal& journal, clock::instant now,
                 std::vector<order>& out);
  std::optional<std::vector<balance::request_move>>
  moves_of_policy(const std::vector<balance::decode_rank>& ranks,
                  const std::vector<balance::decode_request>& requests);
  void refuse(request_id request);
  void give_up(request_id request);
  void note(const course& x);

  const request_settings settings_;
  const topology_limits limits_;
  const uint64_t kv_tokens_;                ///< Of a rank's cache.
  std::vector<std::vector<rank_id>> units_; ///< That decode.
  std::map<rank_id, prices> prices_;
  std::map<request_id, course> courses_;
  std::vector<order> given_up_;
  std::map<request_id, clock::instant> rests_until_;
  request_status status_;
  std::string complaint_;
  bool is_news_ = false;
};

} // namespace troupe
