#pragma once

/// What a trace consists of: spans of time on tracks, each track with those of
/// one stream, one lane of a rank or one direction of the links of a node.

#include "runtime/clock.hpp"
#include "runtime/transport/frame.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

enum class span_kind : uint8_t {
  // -- on a lane of a rank
  step, ///< From the scheduler's decision to its end; amount: rows.
  away, ///< Rows are on other nodes.
  // -- on a stream
  prepare,
  attention,
  dense_mlp,
  route,
  shared_expert,
  add,  ///< What has come back becomes part of the residual.
  head, ///< Amount: rows with logits.
  pack, ///< Rows are copied into the frames that leave.
  land, ///< Rows that have come back are copied to the device.
  run,  ///< Of experts; amount: pairs of rows and experts.
  rows, ///< Those of one dispatch within a run; amount likewise.
  // -- on links: a point in time; amount: bytes
  dispatch_sent,
  dispatch_arrived,
  combine_sent,
  combine_arrived,
};

constexpr size_t num_span_kinds = size_t(span_kind::combine_arrived) + 1;

/// As in the enumeration.
std::string_view to_string(span_kind x);

struct span {
  clock::instant begin = {};
  clock::instant end = {};
  span_kind what = span_kind::step;
  uint8_t lane = 0;
  uint16_t rank = 0;
  uint16_t layer = 0;
  uint16_t peer = 0;   ///< The other node, on links and of rows in a run.
  uint32_t step = 0;   ///< Of the rank.
  uint32_t serial = 0; ///< Of the dispatch, where there is one.
  uint32_t amount = 0;

  friend bool operator==(const span&, const span&) = default;
};

enum class track_kind : uint8_t {
  lane,    ///< Number: rank * 4 + lane.
  compute, ///< The stream of a rank.
  copies,  ///< Its other one.
  worker,
  sent,    ///< To all nodes.
  arrived, ///< From all nodes.
};

constexpr size_t num_track_kinds = size_t(track_kind::arrived) + 1;

/// What a track has recorded.
struct track_spans {
  track_kind kind = track_kind::lane;
  uint32_t number = 0;
  uint64_t num_missing = 0; ///< Before the first one: there was no room.
  std::vector<span> spans;  ///< By end.
};

/// A request, where clients are: from when it was accepted until its end.
struct request_span {
  /// A rank that had it, since then.
  struct owner {
    clock::instant since = {};
    uint16_t rank = 0;

    friend bool operator==(const owner&, const owner&) = default;
  };

  uint64_t number = 0; ///< By which nodes speak of it.
  std::string name;    ///< By which its client knows it: X-Request-Id.
  clock::instant begin = {};
  clock::instant end = {};
  clock::instant first_token = {}; ///< If there is one.
  uint32_t num_prompt = 0;         ///< Tokens.
  uint32_t num_answer = 0;         ///< Likewise.
  std::vector<owner> owners;       ///< One after the other.

  friend bool operator==(const request_span&, const request_span&) = default;
};

/// What a node has recorded.
struct node_spans {
  node_id node = 0;
  std::string name;
  std::vector<track_spans> tracks;
  std::vector<request_span> requests = {}; ///< For who looks at a file.
};

} // namespace troupe
