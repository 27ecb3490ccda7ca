#include "actors/rank_spans.hpp"

namespace troupe {

namespace {

span span_of(const span_track& on, const stage_place& of, uint32_t amount) {
  span x;
  x.what = of.what;
  x.rank = static_cast<uint16_t>(on.number());
  x.lane = of.lane;
  x.layer = of.layer;
  x.step = of.step;
  x.amount = amount;
  return x;
}

span_track& open_lane(span_recorder& to, rank_id rank, uint8_t lane) {
  return to.open(track_kind::lane,
                 uint32_t{rank} * step_walk::max_lanes + lane);
}

} // namespace

rank_spans::rank_spans(span_recorder* to, rank_parts& rank, const time_fn& now)
  : rank_(&rank) {
  rank.timers.assign(rank.lanes.size(), stage_timer{now});
  if (!to)
    return;
  compute_ = &to->open(track_kind::compute, rank.id);
  if (rank.copies)
    copies_ = &to->open(track_kind::copies, rank.id);
  for (uint8_t i = 0; i < rank.lanes.size(); ++i)
    lanes_[i] = &open_lane(*to, rank.id, i);
}

span_track* rank_spans::track_of(const kernels::stream& on) const {
  return &on == rank_->stream.get() ? compute_ : copies_;
}

// -- timers -------------------------------------------------------------------

/// Behind what a step that has failed may still tell.
void rank_spans::begin_step(uint8_t lane, bool is_timed) {
  is_timed_[lane] = is_timed;
  if (!is_timed)
    return;
  auto* to = &rank_->timers[lane];
  rank_->stream->notify([to](auto&) { to->begin_step(); });
  rank_->stream->notify([to](auto&) { to->tare(); });
}

void rank_spans::time_begin(uint8_t lane) const {
  rank_->stream->notify([to = &rank_->timers[lane]](auto&) { to->begin(); });
}

/// Small enough for a function that takes no memory.
void rank_spans::time_end(stage what, uint8_t lane) const {
  auto tell = [to = &rank_->timers[lane], what](auto&) { to->end(what); };
  static_assert(sizeof tell <= 2 * sizeof(void*));
  rank_->stream->notify(tell);
}

std::optional<timed_stages> rank_spans::timed(uint8_t lane) const {
  if (!is_timed_[lane])
    return std::nullopt;
  return timed_stages{rank_->timers[lane].means(),
                      rank_->lanes[lane]->num_logit_rows()};
}

// -- spans --------------------------------------------------------------------

void rank_spans::enqueue_begin(kernels::stream& on) const {
  on.notify([to = track_of(on)](auto&) { to->begin(); });
}

/// The notice is small enough for a function that takes no memory, but for one
/// with an amount: of a step there is one.
void rank_spans::enqueue_end(kernels::stream& on, const stage_place& of,
                             uint32_t amount) const {
  auto record = [to = track_of(on), of](auto&) {
    to->end(span_of(*to, of, 0));
  };
  static_assert(sizeof record <= 2 * sizeof(void*));
  if (amount == 0)
    return on.notify(record);
  on.notify([to = track_of(on), of, amount](auto&) {
    to->end(span_of(*to, of, amount));
  });
}

void rank_spans::note_return(const dispatch_key& of) const {
  span x;
  x.what = span_kind::away;
  x.rank = of.id.rank;
  x.lane = of.id.micro_batch;
  x.layer = of.layer;
  x.step = of.step;
  x.serial = of.id.serial;
  lanes_[x.lane]->end(x);
}

step_spans::step_spans(span_recorder& to, rank_id rank, uint32_t num_lanes) {
  for (uint8_t i = 0; i < num_lanes; ++i) {
    lanes_[i].track = &open_lane(to, rank, i);
    lanes_[i].step.rank = rank;
    lanes_[i].step.lane = i;
  }
}

void step_spans::begin(uint8_t lane, uint32_t num_rows) {
  auto& [track, step] = lanes_[lane];
  ++num_begun_;
  if (!track)
    return;
  step.begin = track->now();
  step.step = num_begun_;
  step.amount = num_rows;
}

void step_spans::end(uint8_t lane) {
  auto& [track, step] = lanes_[lane];
  if (!track)
    return;
  step.end = track->now();
  track->add(step);
}

} // namespace troupe
