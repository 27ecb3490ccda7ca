#include "actors/rank_spans.hpp"

namespace troupe {

namespace {

span_track& open_lane(span_recorder& to, rank_id rank, uint8_t lane) {
  return to.open(track_kind::lane,
                 uint32_t{rank} * step_walk::max_lanes + lane);
}

} // namespace

rank_spans::rank_spans(span_recorder& to, const rank_parts& rank)
  : stream_(rank.stream.get()),
    compute_(&to.open(track_kind::compute, rank.id)) {
  if (rank.copies)
    copies_ = &to.open(track_kind::copies, rank.id);
  for (uint8_t i = 0; i < rank.lanes.size(); ++i)
    lanes_[i] = &open_lane(to, rank.id, i);
}

span_track* rank_spans::track_of(const kernels::stream& on) const {
  return &on == stream_ ? compute_ : copies_;
}

void rank_spans::enqueue_begin(kernels::stream& on) const {
  on.notify([to = track_of(on)](auto&) { to->begin(); });
}

/// The notice is small enough for a function that takes no memory.
void rank_spans::enqueue_end(kernels::stream& on, const stage_place& of) const {
  auto record = [to = track_of(on), of](auto&) {
    span x;
    x.what = of.what;
    x.rank = static_cast<uint16_t>(to->number());
    x.lane = of.lane;
    x.layer = of.layer;
    x.step = of.step;
    to->end(x);
  };
  static_assert(sizeof record <= 2 * sizeof(void*));
  on.notify(record);
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
