#pragma once

/// What the actors of a rank tell the recorder of spans. Nothing is asked of a
/// stream and nothing kept where there is none.

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
  rank_spans(span_recorder& to, const rank_parts& rank);

  /// What is enqueued from here on belongs to the next end() of the stream.
  void begin(kernels::stream& on) const {
    if (compute_)
      enqueue_begin(on);
  }

  /// What was enqueued since then, or since the last end(), was this.
  void end(kernels::stream& on, const stage_place& of) const {
    if (compute_)
      enqueue_end(on, of);
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
  void enqueue_end(kernels::stream& on, const stage_place& of) const;
  void note_return(const dispatch_key& of) const;
  span_track* track_of(const kernels::stream& on) const;

  const kernels::stream* stream_ = nullptr;
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
