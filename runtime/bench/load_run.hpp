#pragma once

/// A measurement: sends requests when it is their time, or when there is room
/// for them, and writes down what comes. All on the thread that calls `run`.
///
/// In an open loop a request's latency counts from its planned arrival, also
/// where the client was late or `max_running` held it back. In a closed loop it
/// is due when the one before it has ended.

#include "runtime/bench/call_record.hpp"
#include "runtime/bench/completion_call.hpp"

#include <functional>

namespace troupe::bench {

struct load_run_options {
  call_form form;
  size_t max_running = 0; ///< 0: no limit.
  bool is_closed = false; ///< Arrivals are of no account.
  nanoseconds no_more_after = nanoseconds::max(); ///< Nothing is begun then.
};

/// So far.
struct load_progress {
  nanoseconds time{0};
  size_t total = 0;
  size_t running = 0;
  size_t ended = 0;
  size_t failed = 0;
  uint64_t pieces = 0;
};

class load_run {
public:
  /// `client` and `time` must outlive it.
  load_run(http::client& client, const clock& time, load_run_options options,
           std::vector<planned_request> plan, prompt_writer words);
  ~load_run();

  load_run(const load_run&) = delete;
  load_run& operator=(const load_run&) = delete;

  /// Until all have ended. `look` is called ten times a second; false: enough,
  /// what is under way counts as "interrupted".
  void run(std::function<bool(const load_progress&)> look);

  /// Of those that were begun, in their order.
  const std::vector<call_record>& records() const {
    return records_;
  }

  /// s, by which ticks of the loop came late.
  const std::vector<float>& late_loop() const {
    return late_loop_;
  }

private:
  class watch;

  nanoseconds now() const;
  void begin_due(nanoseconds room);
  bool may_begin(nanoseconds now) const;
  void begin(nanoseconds room);
  void end(size_t number);
  void tick(clock::instant due);
  void look();
  void stop_if_over();

  http::client& client_;
  const clock& time_;
  const load_run_options options_;
  std::vector<planned_request> plan_; ///< As many as are to be begun.
  const prompt_writer words_;
  clock::instant begin_{};
  std::vector<call_record> records_;
  std::vector<float> late_loop_;
  std::function<bool(const load_progress&)> look_;
  load_progress progress_;
  uint64_t num_ticks_ = 0;
  bool is_waiting_ = false; ///< For the time of the next arrival.
  bool is_over_ = false;
};

} // namespace troupe::bench
