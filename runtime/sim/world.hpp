#pragma once

/// A virtual world: one thread, one time, one seed. Time stands still while
/// something happens and jumps from event to event. What has happened is in its
/// trace: the same seed and the same calls give the same trace.
///
/// Nodes live in it, one life for each start of a process. What a life has yet
/// to do ends with it. A paused node does nothing; what became due meanwhile
/// happens, in order, once it goes on.
///
/// Belongs to one thread. Several worlds share nothing.

#include "runtime/sim/fifo.hpp"
#include "runtime/sim/job.hpp"
#include "runtime/sim/node_time.hpp"
#include "runtime/sim/random_stream.hpp"
#include "runtime/sim/trace.hpp"

#include <deque>
#include <string_view>
#include <vector>

namespace troupe {

/// One start of a node, in a world; the world itself is 0.
using life_id = uint32_t;

constexpr life_id no_life = 0;

/// Names something to come, for cancel(). 0 is none.
using event_id = uint64_t;

class world {
public:
  explicit world(uint64_t seed);
  ~world();

  world(const world&) = delete;
  world& operator=(const world&) = delete;

  uint64_t seed() const {
    return seed_;
  }

  virtual_instant now() const {
    return now_;
  }

  troupe::trace& trace() {
    return trace_;
  }

  /// Adds to the trace, with the present time.
  void record(trace_entry x) {
    x.at = now_;
    trace_.record(x);
  }

  /// Numbers that depend on the seed and on `name` alone.
  random_stream stream(std::string_view name) const;

  // -- lives ------------------------------------------------------------------

  life_id begin_life(node_id node);

  /// As a process dies: all its jobs and events are dropped, then its
  /// at_end jobs run, last one first. Nothing happens if it is over already.
  void end_life(life_id life);

  /// `what` runs when the life ends, or at once if it has.
  void at_end(life_id life, job what);

  bool is_alive(life_id life) const;

  node_id node_of(life_id life) const;

  /// The youngest life of `node` that is not over; no_life if there is none.
  life_id life_of(node_id node) const;

  /// What the life takes for the time. Stays until the world ends.
  node_time& clock_of(life_id life);

  // -- what nodes suffer ------------------------------------------------------

  /// As a process that is stopped: all living lives of the node.
  void pause(node_id node);

  /// What became due meanwhile happens from now on.
  void resume(node_id node);

  /// Ends all lives of the node.
  void crash(node_id node);

  bool is_paused(life_id life) const;

  /// What its devices do takes `factor` times as long from now on.
  void slow(node_id node, double factor);

  double slowness(node_id node) const;

  // -- what is to happen ------------------------------------------------------

  /// At `when`, or now if that has passed; of two at the same time the first
  /// that was asked for comes first. Returns 0 if the life is over.
  event_id at(life_id life, virtual_instant when, job what);

  /// Of the world itself: nobody can stop it.
  event_id at(virtual_instant when, job what) {
    return at(no_life, when, std::move(what));
  }

  event_id after(life_id life, virtual_duration time, job what) {
    return at(life, now_ + time, std::move(what));
  }

  /// It does not happen. Nothing to do if it has, or was cancelled.
  void cancel(event_id id);

  /// Can run now: before time goes on, and before or after whatever else can
  /// run now, as the seed has it. Dropped if the life is over.
  void make_ready(life_id life, job what);

  /// Runs one job that is ready, else the next event. Returns false if there is
  /// neither; a paused node may still have some.
  bool step();

  /// Steps until nothing is left that is due up to `when`, which is then now.
  void run_until(virtual_instant when);

  void run_for(virtual_duration time) {
    run_until(now_ + time);
  }

  /// Jobs and events that are to happen, those of paused nodes included.
  size_t num_waiting() const;

private:
  struct ready_job {
    life_id life = no_life;
    job what;
  };

  /// Of what is to happen.
  struct date {
    virtual_instant when;
    uint64_t sequence = 0;
    uint32_t slot = 0;
  };

  struct later {
    bool operator()(const date& a, const date& b) const {
      return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
    }
  };

  /// Of an event, until its date has been taken out.
  struct slot {
    job what; ///< Empty: it was cancelled.
    life_id life = no_life;
    uint32_t generation = 1;
  };

  struct life_state {
    explicit life_state(node_id x, const virtual_instant& now)
      : node(x), time(now) {
    }

    node_id node;
    node_time time;
    bool is_over = false;
    bool is_paused = false;
    std::vector<job> held_jobs;   ///< While paused, as they came.
    std::vector<date> held_dates; ///< Likewise.
    std::vector<job> at_end;
  };

  struct slow_node {
    node_id node;
    double factor;
  };

  void run_ready();
  bool run_event();
  bool is_due(virtual_instant when);
  bool is_heap_first() const;
  /// The earliest one that happens; null if there is none.
  const date* earliest();
  void drop_earliest();
  void push(date x);
  /// What has passed comes now, in the order in which it would have come.
  void give_back(const std::vector<date>& held);
  uint32_t take_slot(life_id life, job what);
  void free_slot(uint32_t index);
  void sweep();
  std::vector<job> take_all(life_id life);
  void note(trace_kind kind, life_id life);

  const uint64_t seed_;
  virtual_instant now_ = world_begin;
  troupe::trace trace_;
  random_stream order_; ///< Of what is ready.
  std::deque<life_state> lives_;
  std::vector<slow_node> slow_;
  std::vector<ready_job> ready_; ///< In no order that means anything.
  std::vector<date> dates_;      ///< A heap: the earliest first.
  /// Those that were due at once, and came after all of dates_ that are due:
  /// time stands still until there are none.
  fifo<date> due_;
  std::vector<slot> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t last_sequence_ = 0;
  size_t num_cancelled_ = 0; ///< Of dates_.
};

} // namespace troupe
