#pragma once

/// What the actors of a rank tell the recorder of spans, and those who want to
/// know what stages take. Nothing is asked of a stream and nothing kept where
/// there is nobody.

#include "runtime/cluster/node_parts.hpp"
#include "runtime/dispatch/dispatch_key.hpp"
#include "runtime/pipeline/step_walk.hpp"
#include "runtime/tracing/span_recorder.hpp"
#include "runtime/tracing/stage_spans.hpp"

namespace troupe {

/// Which stage it is, and whose.
struct stage_place {
  span_kind what = span_kind::prepare;
  uint8_t lane = 0;
  uint16_t layer = 0;
  uint32_t step = 0;
};

/// Of an attention actor: its streams, and when rows are away.
class rank_spans {
public:
  rank_spans() = default;
  /// `to` may be null. `now` outlives what the streams of `rank` do.
  rank_spans(span_recorder* to, rank_parts& rank, const time_fn& now);

  /// A step begins in the lane, whose stages are timed, or not.
  void begin_step(uint8_t lane, bool is_timed);

  /// What it computes from here on belongs to the next end_stage().
  void begin_stages(uint8_t lane) const {
    begin(*rank_->stream);
    if (is_timed_[lane])
      time_begin(lane);
  }

  /// What was enqueued since then, or since the last one, was this.
  void end_stage(stage what, uint8_t lane, uint32_t layer,
                 uint32_t step) const {
    if (compute_)
      enqueue_end(*rank_->stream, {kind_of(what), lane, uint16_t(layer), step},
                  what == stage::head ? rank_->lanes[lane]->num_logit_rows()
                                      : 0);
    if (is_timed_[lane])
      time_end(what, lane);
  }

  /// Of the step of the lane, which has ended well.
  std::optional<timed_stages> timed(uint8_t lane) const;

  /// What is enqueued from here on belongs to the next end() of the stream.
  void begin(kernels::stream& on) const {
    if (compute_)
      enqueue_begin(on);
  }

  /// What was enqueued since then, or since the last end(), was this.
  void end(kernels::stream& on, const stage_place& of) const {
    if (compute_)
      enqueue_end(on, of, 0);
  }

  /// Rows of the lane leave for other nodes.
  void leave(uint8_t lane) const {
    if (compute_)
      lanes_[lane]->begin();
  }

  /// They are all back.
  void come_back(const dispatch_key& of) const {
    if (compute_)
      note_return(of);
  }

private:
  void enqueue_begin(kernels::stream& on) const;
  void enqueue_end(kernels::stream& on, const stage_place& of,
                   uint32_t amount) const;
  void time_begin(uint8_t lane) const;
  void time_end(stage what, uint8_t lane) const;
  void note_return(const dispatch_key& of) const;
  span_track* track_of(const kernels::stream& on) const;

  rank_parts* rank_ = nullptr;
  std::array<bool, step_walk::max_lanes> is_timed_ = {};
  span_track* compute_ = nullptr; ///< Null: nobody records.
  span_track* copies_ = nullptr;
  std::array<span_track*, step_walk::max_lanes> lanes_ = {};
};

/// Of a scheduler: the steps of its rank.
class step_spans {
public:
  step_spans() = default;
  step_spans(span_recorder& to, rank_id rank, uint32_t num_lanes);

  /// Its number is the one that step_walk gives it: steps are begun there in
  /// the order in which they are begun here.
  void begin(uint8_t lane, uint32_t num_rows);
  void end(uint8_t lane);

private:
  struct lane_steps {
    span_track* track = nullptr; ///< Null: nobody records.
    span step;                   ///< The one that is out, or was.
  };

  std::array<lane_steps, step_walk::max_lanes> lanes_;
  uint32_t num_begun_ = 0;
};

} // namespace troupe
