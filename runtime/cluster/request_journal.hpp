#pragma once

/// The gateway's memory: every accepted request as it was asked, who owns it,
/// and what has been committed to its client; enough to begin it again
/// elsewhere where it stands. The gateway is the commit point: it lets a token
/// in only if the term is the request's own and the position the next one.
/// Terms cross in schemas/wire.capnp.

#include "runtime/cluster/membership.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/service.hpp"

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

class request_journal {
public:
  explicit request_journal(uint32_t num_ranks) : shares_(num_ranks) {
  }

  /// What a rank has, and is to go on with.
  struct share {
    uint32_t requests = 0;
    uint64_t tokens = 0; ///< Of their prompts and answers.
  };

  struct owner {
    rank_id rank = 0;
    uint32_t term = 0; ///< 1, and one more with each owner.
    /// Who goes on with it behind the next token; nobody: its owner does.
    std::optional<rank_id> next = std::nullopt;
  };

  /// Remembers a request and gives it to the rank with the fewest open
  /// requests among `usable` (not empty), ties to the lowest.
  owner accept(request_id id, std::shared_ptr<const generation_request> what,
               const std::vector<rank_id>& usable);

  /// Remembers a request that nobody can run yet: it waits.
  void accept_waiting(request_id id,
                      std::shared_ptr<const generation_request> what);

  /// Gives a request that it knows to another owner, chosen likewise: what the
  /// last one says of it counts no more.
  owner raise(request_id id, const std::vector<rank_id>& usable);

  /// Chooses who is to go on behind its owner's next token, likewise: `usable`
  /// may be empty. Returns the owner with that.
  owner plan_next(request_id id, const std::vector<rank_id>& usable);

  /// Gives a request to who was to go on with it, if it is one of `usable` (not
  /// empty), else to another one, as raise() does.
  owner pass_on(request_id id, const std::vector<rank_id>& usable);

  /// Takes a request from its owner, whose word counts no more, until it is
  /// given to another one. Returns who that was; nobody if it waits already.
  std::optional<owner> suspend(request_id id);

  /// What became of an event from a scheduler.
  enum class verdict {
    committed,
    refused,  ///< Of a term that is to come, or known already.
    outdated, ///< Of a former owner, who may not have heard yet.
    gap,      ///< Its owner's, but not the next: what came before was lost.
    unknown,
  };

  /// Commits `event` if its term and position are right; forgets the request
  /// if that was its end.
  verdict commit(request_id id, uint32_t term, const generation_event& event);

  /// What a client is to hear of an event that has been committed: scores of
  /// the prompt that a former owner has told are left out. Called before it is
  /// committed.
  generation_event without_known_scores(request_id id,
                                        generation_event event) const;

  /// Whether an owner after the first may repeat scores of the prompt.
  bool may_repeat_scores(request_id id) const;

  /// A process that had it in its step has died with it. Returns how many have.
  uint32_t mark(request_id id);

  /// How many have, so far.
  uint32_t num_deaths(request_id id) const;

  /// Its owner could not go on, since somebody else was lost. Returns how often
  /// that has been so.
  uint32_t set_back(request_id id);

  /// Forgets a request; returns who ran it, if it did not wait.
  std::optional<owner> remove(request_id id);

  /// Whether `term` is of the owner of a request that has one.
  bool is_owned(request_id id, uint32_t term) const;

  /// Who goes on with a request after the next token; nobody: its owner, or it
  /// has none, or nobody knows it.
  std::optional<rank_id> next_of(request_id id) const;

  const share& share_of(rank_id rank) const {
    return shares_.at(rank);
  }

  /// A request and who has it.
  struct running {
    request_id id = 0;
    owner who;
    const generation_request& what;
    uint32_t num_answered = 0;
    uint32_t deaths = 0; ///< See num_deaths().
  };

  /// Those that do not wait.
  std::vector<running> all_running() const;

  /// Of a request that it knows.
  rank_id rank_of(request_id id) const;
  uint32_t term_of(request_id id) const {
    return entries_.at(id).who.term;
  }
  const std::shared_ptr<const generation_request>& what(request_id id) const;
  const std::vector<int32_t>& answered(request_id id) const;

  /// Returns the requests of a rank, in the order in which it was given them.
  std::vector<request_id> requests_of(rank_id rank) const;
  /// Returns those that nobody runs, in the order in which they came.
  std::vector<request_id> waiting() const;
  std::vector<request_id> all() const;

private:
  struct entry {
    std::shared_ptr<const generation_request> what;
    owner who;
    bool waits = false;            ///< `who` was its owner, and is no more.
    std::vector<int32_t> answered; ///< Committed.
    uint32_t next_scored = 0;      ///< Place in the prompt.
    uint32_t deaths = 0;
    uint32_t setbacks = 0;
    uint64_t given = 0; ///< When, in the order of gifts, to its owner.

    uint64_t num_tokens() const {
      return what->prompt.size() + answered.size();
    }
  };

  rank_id choose(const std::vector<rank_id>& usable) const;
  void load(rank_id rank, const entry& x);
  void unload(rank_id rank, const entry& x);
  void unload(entry& x);

  std::map<request_id, entry> entries_;
  std::vector<share> shares_; ///< By rank.
  uint64_t num_given_ = 0;
};

} // namespace troupe
