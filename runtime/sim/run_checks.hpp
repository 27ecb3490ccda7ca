#pragma once

/// What must hold whatever happens, checked as it happens. Each check is O(1),
/// but where something is about to be refused.
///
/// I1  Nobody who was accepted is lost: one end for each, and an error only if
///     faults have cost more than can be made up for: a node with workers, all
///     with ranks, the first; or two ranks that had it in their steps.
/// I2  Tokens are those of the plain path, whatever else happened.
/// I3  Tokens come once, in order, without a gap.
/// I4  A request has one owner at a time; what is over says nothing any more.
/// I5  Who is planned with has what the placement says.
/// I6  No foreign bytes: nothing damaged and no stream failed without a fault;
///     what a step writes to belongs to somebody.
/// I7  Views, epochs and incarnations never go back, wherever one looks; who
///     knows a view is in it, and the cluster would know it, too, if all ended.
/// I8  What is claimed is free, used or lost, never both; at rest all is free.
/// I9  Every queue has a limit.
/// I10 Whoever is back was lost before; a company that is whole serves.
/// I11 Bad input changes nothing else and ends nobody.
/// I12 One seed, one trace.

#include "runtime/sim/expected_answer.hpp"
#include "runtime/sim/fault.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct violation {
  uint32_t invariant = 0; ///< 1: I1.
  virtual_instant at = {};
  std::string what; ///< One sentence.

  friend bool operator==(const violation&, const violation&) = default;
};

/// "I3: ..."
std::string to_string(const violation& x);

class run_checks {
public:
  static constexpr size_t max_kept = 32; ///< Violations; others are counted.

  /// `patience`: the shortest silence that may cost a node or a step.
  run_checks(uint32_t num_nodes, uint32_t num_requests,
             virtual_duration patience);

  /// Of all that is said from here on.
  void set_now(virtual_instant now) {
    now_ = now;
  }

  /// What has to be left so that others go on with a request.
  struct needs {
    std::vector<std::vector<uint32_t>> ranks; ///< By node.
    /// Whether there are all experts that a rank needs without these nodes.
    std::function<bool(uint32_t, const std::set<node_id>&)> has_experts_without;
  };

  /// Without it no loss is made up for.
  void set_needs(needs x) {
    needs_ = std::move(x);
  }

  // -- requests, by their number below num_requests ---------------------------

  /// Without it the tokens' values are not judged.
  void expect(uint32_t request, expected_answer answer);
  /// Bad input, that nobody may take.
  void expect_refusal(uint32_t request);

  /// It wants this rank and no other.
  void expect_rank(uint32_t request, uint32_t rank);

  void asked(uint32_t request);
  void accepted(uint32_t request);
  void refused(uint32_t request, const failure& why);
  /// By whoever asked, or who has vanished.
  void cancel_asked(uint32_t request);
  /// A rank runs it from now on. Terms grow.
  void owned(uint32_t request, uint32_t rank, uint64_t term);
  /// What the client hears.
  void heard(uint32_t request, const generation_event& event);

  // -- nodes ------------------------------------------------------------------

  void node_began(node_id node);
  /// The first one has given it up, whose next process knows nothing of it.
  void node_lost(node_id node);
  /// Another process serves in its place.
  void node_back(node_id node);
  /// Before the end of the run. `was_told`: the first one has told it to end,
  /// which costs nobody anything.
  void node_ended(node_id node, bool was_told = false);
  /// The placement that `by` knows.
  void placement_seen(node_id by, uint32_t unit, uint64_t epoch);
  /// Of the placement that is published an expert cannot be had where it says.
  void expert_missing(std::string_view what);
  void view_seen(node_id by, uint64_t view, uint64_t epoch);
  /// `kept`: the last view that outlives all processes. `is_in_it`: `by` is.
  void view_judged(node_id by, uint64_t view, uint64_t kept, bool is_in_it);
  /// `by` deals with this process of `peer`.
  void incarnation_seen(node_id by, node_id peer, uint64_t incarnation);
  /// `by` has given it up.
  void incarnation_over(node_id by, node_id peer, uint64_t incarnation);

  // -- bytes ------------------------------------------------------------------

  void queue_seen(node_id node, std::string_view what, uint64_t size,
                  uint64_t limit);
  /// Of blocks, slabs, credits, at any time.
  void resource_seen(node_id node, std::string_view what, uint64_t free,
                     uint64_t used, uint64_t total);
  /// The same once all requests have ended, of a node that is alive.
  void resource_at_rest(node_id node, std::string_view what, uint64_t free,
                        uint64_t total);
  /// An operation of a rank writes to a block of its cache.
  void block_written(node_id node, uint32_t block, bool is_held);
  /// What ranks have said to the gateway and it has not let in.
  void events_refused(uint64_t num);
  /// `is_explained`: the world knows which fault has done it.
  void frame_damaged(node_id node, bool is_explained);
  /// Likewise.
  void stream_failed(node_id node, bool is_explained, std::string_view why);

  // -- phases -----------------------------------------------------------------

  /// Before anything is heard of what it does.
  void fault_began(const fault& x);
  /// A fault has done what may cost a node, however patient its peers are.
  void harm_done() {
    is_broken_ = true;
  }
  /// All that had to end has had the time for it.
  void finish();

  /// Whether a fault may have cost somebody a node.
  bool may_have_lost_a_node() const;

  bool holds() const {
    return num_violations_ == 0;
  }

  uint64_t num_violations() const {
    return num_violations_;
  }

  /// The first ones.
  const std::vector<violation>& violations() const {
    return violations_;
  }

private:
  enum class stage : uint8_t { unknown, asked, accepted, refused, ended };

  struct request_state {
    stage at = stage::unknown;
    bool must_be_refused = false;
    bool is_cancelled = false;
    bool is_known = false; ///< `expected` is.
    uint32_t num_tokens = 0;
    std::optional<uint32_t> rank = {};
    std::optional<uint32_t> wanted_rank = {};
    uint64_t term = 0;
    virtual_instant since = {};
    expected_answer expected = {};
  };

  struct peer_state {
    uint64_t incarnation = 0;
    std::vector<uint64_t> over = {};
  };

  struct node_state {
    uint64_t view = 0;
    uint64_t epoch = 0;
    /// The epochs of placements, by unit; of this process.
    std::map<uint32_t, uint64_t> placements;
    std::vector<peer_state> peers;
  };

  template <class... Parts>
  void violate(uint32_t invariant, const Parts&... parts);

  void hear_tokens(uint32_t request, const generation_event& event);
  void hear_logits(uint32_t request, const generation_event& event);
  void hear_end(uint32_t request, const generation_event& event);
  void hear_loss(uint32_t request, const failure& why);
  void hear_complete(uint32_t request, finish_reason finish);
  bool is_past_help(const request_state& x) const;
  std::vector<request_state> requests_;
  std::vector<node_state> nodes_;
  needs needs_;
  std::set<node_id> lost_; ///< By the first node.
  bool front_is_over_ = false;
  std::vector<violation> violations_;
  const virtual_duration patience_;
  virtual_duration silence_{0}; ///< Of all faults so far.
  virtual_instant now_ = {};
  uint64_t num_violations_ = 0;
  bool is_broken_ = false;
  bool has_failed_device_ = false; ///< Steps fail by that alone.
};

/// I12: what is wrong if one seed has given two hashes.
std::optional<violation> compare_traces(uint64_t first, uint64_t second);

} // namespace troupe
