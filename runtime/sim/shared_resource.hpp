#pragma once

/// Something that does one piece of work at a time in virtual time, for two
/// queues: a GPU's multiprocessors, or its way into the network. What is urgent
/// comes first: other work gives way at once and goes on where it was, as
/// blocks of a stream of high priority take the place of others that end.

#include "runtime/sim/fifo.hpp"
#include "runtime/sim/world.hpp"
#include "runtime/tracing/spans.hpp"

#include <array>
#include <functional>

namespace troupe {

class shared_resource {
public:
  enum class turn : uint8_t { urgent, patient };

  struct work {
    virtual_duration time = {};
    span what; ///< Its times are filled in.
    bool is_seen = true;
    job done = {};
  };

  /// `record` hears of each stretch in which work was done without a break.
  shared_resource(world& in, std::function<void(const span&)> record)
    : world_(in), record_(std::move(record)) {
  }

  shared_resource(const shared_resource&) = delete;
  shared_resource& operator=(const shared_resource&) = delete;

  /// Work of one queue is done in order.
  void enqueue(turn when, work x);

private:
  bool is_busy() const {
    return event_ != 0;
  }

  void suspend();
  void go();
  void end();
  void note();

  world& world_;
  const std::function<void(const span&)> record_;
  std::array<fifo<work>, 2> queues_;
  // Of what is done at present.
  event_id event_ = 0;
  size_t queue_ = 0;
  virtual_instant since_ = {};
};

} // namespace troupe
