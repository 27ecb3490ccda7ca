#pragma once

#include "runtime/tracing/spans.hpp"

#include <initializer_list>

namespace troupe {

/// Of a timeline that begins at 1 h; times are in microseconds.
inline clock::instant at_us(int64_t us) {
  return clock::instant{std::chrono::hours{1}} + std::chrono::microseconds{us};
}

inline span span_of(span_kind what, int64_t from, int64_t to, uint8_t lane = 0,
                    uint32_t serial = 0, uint16_t peer = 0) {
  span x;
  x.begin = at_us(from);
  x.end = at_us(to);
  x.what = what;
  x.lane = lane;
  x.step = lane + 1u;
  x.layer = 3;
  x.serial = serial;
  x.peer = peer;
  x.amount = 8;
  return x;
}

/// Rank 0 on node 0 and worker 0 on node 1, with two micro-batches:
///
///     us        0      10      20   30   40   50      60    70    80    90
///     rank 0    prep 0 | prep 1 |  -    -    -   add 0 | -  add 1 | -
///     sent             d0       d1
///     worker 0                     [ 0  ][ 1      ]
///     back to 0                                  (50)       (70)
inline std::vector<node_spans> two_lanes() {
  using enum span_kind;
  node_spans rank{0, "front \"a\"", {}};
  rank.tracks = {{track_kind::lane, 0, 0, {span_of(step, 0, 60, 0)}},
                 {track_kind::lane, 1, 0, {span_of(step, 10, 90, 1)}},
                 {track_kind::compute,
                  0,
                  0,
                  {span_of(prepare, 0, 6, 0), span_of(route, 6, 10, 0),
                   span_of(prepare, 10, 20, 1), span_of(add, 50, 60, 0),
                   span_of(add, 70, 80, 1)}},
                 {track_kind::sent,
                  0,
                  0,
                  {span_of(dispatch_sent, 10, 10, 0, 1, 1),
                   span_of(dispatch_sent, 20, 20, 1, 2, 1)}},
                 {track_kind::arrived,
                  0,
                  0,
                  {span_of(combine_arrived, 50, 50, 0, 1, 1),
                   span_of(combine_arrived, 70, 70, 1, 2, 1)}}};
  node_spans experts{1, "experts", {}};
  experts.tracks = {{track_kind::worker,
                     0,
                     0,
                     {span_of(run, 30, 35), span_of(rows, 30, 35, 0, 1),
                      span_of(run, 35, 45), span_of(rows, 35, 45, 1, 2)}},
                    {track_kind::arrived,
                     0,
                     0,
                     {span_of(dispatch_arrived, 25, 25, 0, 1, 0),
                      span_of(dispatch_arrived, 35, 35, 1, 2, 0)}},
                    {track_kind::sent,
                     0,
                     0,
                     {span_of(combine_sent, 35, 35, 0, 1, 0),
                      span_of(combine_sent, 45, 45, 1, 2, 0)}}};
  return {rank, experts};
}

} // namespace troupe
