#pragma once

/// What stages and runs of experts take, told by the streams that run them, and
/// of which of them that is asked at all. Nothing is kept of a stage but what
/// it adds to a sum: the memory of one is that of all.
///
/// A timer is its stream's alone while that runs what is timed; whoever heard
/// that it has come to the end may read.

#include "runtime/clock.hpp"
#include "runtime/pipeline/stage_table.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace troupe {

/// By stage: seconds in the mean of layers; 0: there was none.
using stage_means = std::array<double, size_t(stage::end) + 1>;

/// Of a step that has ended.
struct timed_stages {
  stage_means took = {};
  uint32_t logit_rows = 0; ///< For which its head was.
};

using time_fn = std::function<clock::instant()>;

class stage_timer {
public:
  /// `now` is called by the stream.
  explicit stage_timer(time_fn now) : now_(std::move(now)) {
  }

  /// A step begins: nothing has been seen of it.
  void begin_step() {
    sums_ = {};
    counts_ = {};
    since_ = now_();
  }

  /// Told right behind begin_step(): so much is of the telling, not of stages.
  /// A GPU stands still for it.
  void tare() {
    telling_ = std::min(telling_, now_() - since_);
  }

  /// What the stream does from here on belongs to the next end().
  void begin() {
    since_ = now_();
  }

  /// A stage has ended, that began with the last call of begin() or end().
  void end(stage what) {
    auto begun = std::exchange(since_, now_());
    sums_[size_t(what)] += since_ - begun;
    ++counts_[size_t(what)];
  }

  stage_means means() const {
    stage_means out = {};
    for (size_t i = 0; i < out.size(); ++i)
      if (counts_[i] > 0)
        out[i] = seconds(sums_[i] / counts_[i] - telling_);
    return out;
  }

private:
  static constexpr auto num_stages = std::tuple_size_v<stage_means>;

  static double seconds(clock::instant::duration x) {
    return std::max(std::chrono::duration<double>(x).count(), 0.0);
  }

  time_fn now_;
  /// The least that was seen.
  clock::instant::duration telling_ = std::chrono::seconds{1};
  std::array<clock::instant::duration, num_stages> sums_ = {};
  std::array<uint32_t, num_stages> counts_ = {};
  clock::instant since_ = {};
};

/// Of one run.
class run_timer {
public:
  void set_time(time_fn now) {
    now_ = std::move(now);
  }

  void begin() {
    begin_ = now_();
  }

  void end() {
    end_ = now_();
  }

  double seconds() const {
    return std::chrono::duration<double>(end_ - begin_).count();
  }

private:
  time_fn now_;
  clock::instant begin_ = {};
  clock::instant end_ = {};
};

/// Times all of the first ones, and then one in so many, a prime: so layers
/// take turns.
class timing_turns {
public:
  bool next() {
    auto i = num_++;
    return i < at_first || i % one_in == 0;
  }

private:
  static constexpr uint64_t at_first = 16, one_in = 17;

  uint64_t num_ = 0;
};

} // namespace troupe
