#pragma once

/// Jobs that are done one after the other, in turns of those whose they are:
/// who has many holds up each of the others by one at a time. One that turns
/// out to be wanted no more is no turn.

#include "runtime/task_queue.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Which job is next. Not thread-safe.
class job_turns {
public:
  /// Returns whether it has done anything.
  using job = std::function<bool()>;

  struct turn {
    uint64_t whose = 0;
    job what; ///< Empty: none waits.
  };

  /// `max_cost`: of all that wait, in a unit that the caller chooses.
  explicit job_turns(size_t max_cost) : max_cost_(max_cost) {
  }

  /// Returns false, and drops it, if too much waits already.
  bool add(uint64_t whose, job x, size_t cost = 1);

  turn take();

  /// The last one's job has done nothing: the next turn is theirs again, if
  /// they have another one.
  void give_back(uint64_t whose);

  size_t num_waiting() const {
    return num_waiting_;
  }

  /// All that wait; none does then.
  std::vector<job> take_all();

private:
  struct task {
    job what;
    size_t cost = 0;
  };

  struct line {
    uint64_t whose = 0;
    std::deque<task> tasks; ///< Never empty.
  };

  const size_t max_cost_;
  size_t cost_ = 0;
  size_t num_waiting_ = 0;
  std::list<line> lines_; ///< Whose turn is next comes first.
  std::unordered_map<uint64_t, std::list<line>::iterator> by_whose_;
};

/// A thread of its own that does them. Thread-safe.
class turn_queue {
public:
  /// `max_cost`: see job_turns.
  explicit turn_queue(size_t max_cost);

  /// Returns false, and drops it, if too much waits already or the queue has
  /// been stopped.
  bool post(uint64_t whose, job_turns::job x, size_t cost = 1);

  /// Accepts nothing more, drops what waits, and ends the thread.
  void stop_now();

private:
  struct shared {
    explicit shared(size_t max_cost) : turns(max_cost) {
    }

    std::mutex mutex; ///< For what follows.
    job_turns turns;
  };

  const std::shared_ptr<shared> waiting_;
  task_queue thread_; ///< Has a task for each job, whichever that is by then.
};

} // namespace troupe
