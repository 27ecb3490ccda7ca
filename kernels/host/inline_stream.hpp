#pragma once

/// A stream without a thread: see make_inline_device.

#include "kernels/device.hpp"

namespace troupe::kernels {

class inline_stream : public stream {
public:
  explicit inline_stream(std::shared_ptr<executor> how);

  void enqueue(operation op) override;
  event record() override;

  /// Every point has been reached when it is known, by a stream of this kind;
  /// what it brings is how its stream had fared.
  void wait(const event& point) override;

  void notify(std::function<void(const stream_status&)> fn) override;

private:
  std::shared_ptr<executor> how_;
  stream_status status_;
};

} // namespace troupe::kernels
