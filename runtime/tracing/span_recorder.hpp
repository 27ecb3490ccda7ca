#pragma once

/// Keeps what has happened on a node, the latest of each track, in memory that
/// is claimed when a track is opened. Who has no recorder records nothing.
///
/// All functions may be called from any thread.

#include "runtime/tracing/request_log.hpp"

#include <atomic>
#include <memory>
#include <mutex>

namespace troupe {

class span_track {
public:
  /// `time` outlives this.
  span_track(track_kind kind, uint32_t number, size_t capacity,
             const clock& time);

  uint32_t number() const {
    return number_;
  }

  clock::instant now() const {
    return time_.now();
  }

  /// The oldest one makes room if there is none.
  void add(const span& x);

  /// What follows on this track begins now.
  void begin();

  /// `x` has ended now, and began with the last call of begin() or end(). So
  /// have its parts.
  void end(span x, const std::vector<span>& parts = {});

  track_spans read() const;

private:
  void put(const span& x);

  const track_kind kind_;
  const uint32_t number_;
  const clock& time_;
  mutable std::mutex mutex_; ///< For what follows.
  std::vector<span> ring_;
  uint64_t num_added_ = 0;
  clock::instant since_;
};

class span_recorder {
public:
  /// Spans of a track: 2.5 MiB.
  static constexpr size_t default_capacity = size_t{1} << 16;

  /// `time` outlives this.
  span_recorder(std::string node, const clock& time,
                size_t capacity = default_capacity);

  /// As which node of the topology it records; 0 before.
  void identify(node_id node);

  node_id node() const {
    return node_;
  }

  /// The track of that kind and number, which lives as long as this.
  span_track& open(track_kind kind, uint32_t number);

  /// Of the node that has the clients.
  request_log& requests() {
    return requests_;
  }

  node_spans read() const;

private:
  struct opened {
    track_kind kind;
    uint32_t number;
    std::unique_ptr<span_track> track;
  };

  const std::string name_;
  const clock& time_;
  const size_t capacity_;
  std::atomic<node_id> node_{0};
  request_log requests_;
  mutable std::mutex mutex_; ///< For what follows.
  std::vector<opened> tracks_;
};

} // namespace troupe
