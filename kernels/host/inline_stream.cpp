#include "kernels/host/inline_stream.hpp"

#include "kernels/check.hpp"

namespace troupe::kernels {

namespace {

struct reached_point : event::state {
  explicit reached_point(stream_status status) : status(std::move(status)) {
  }

  const stream_status status;
};

} // namespace

inline_stream::inline_stream(std::shared_ptr<executor> how)
  : how_(std::move(how)) {
}

void inline_stream::enqueue(operation op) {
  check_shapes(op);
  if (status_)
    status_.failure = how_->run(op);
}

event inline_stream::record() {
  return event{std::make_shared<reached_point>(status_)};
}

void inline_stream::wait(const event& point) {
  auto other = std::dynamic_pointer_cast<reached_point>(point.impl());
  CHECK(other != nullptr);
  if (status_)
    status_ = other->status;
}

void inline_stream::notify(std::function<void(const stream_status&)> fn) {
  fn(status_);
}

} // namespace troupe::kernels
