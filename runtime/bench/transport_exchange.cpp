#include "runtime/bench/transport_exchange.hpp"

#include "kernels/check.hpp"

namespace troupe::bench {

transport_exchange::transport_exchange(uint32_t max_body)
  : rows_(std::make_shared<const std::vector<std::byte>>(max_body)) {
}

void transport_exchange::on_frame(node_id from, frame&& x) {
  if (x.header.kind == frame_class::dispatch) {
    if (x.header.step == 0 || x.header.step > rows_->size())
      return;
    frame_header header;
    header.kind = frame_class::combine;
    header.id = x.header.id;
    return net_->send(from, header, rows(x.header.step));
  }
  if (x.header.kind != frame_class::combine)
    return;
  std::unique_lock guard{mutex_};
  if (!progress_)
    return;
  if (x.header.length != shape_.combine_bytes
      || !progress_->answered(uint32_t(x.header.id)))
    is_wrong_ = true;
  if (is_wrong_ || progress_->is_done())
    over_.notify_all();
  send_rounds(std::move(guard));
}

/// The lock is not held while frames are sent.
void transport_exchange::send_rounds(std::unique_lock<std::mutex> guard) {
  while (auto round = progress_ ? progress_->next() : std::nullopt) {
    frame_header header;
    header.kind = frame_class::dispatch;
    header.id = *round;
    header.step = shape_.combine_bytes; // what the answer is to weigh
    auto to = peers_;
    auto bytes = shape_.dispatch_bytes;
    guard.unlock();
    for (auto peer : to)
      net_->send(peer, header, rows(bytes));
    guard.lock();
  }
}

bool transport_exchange::run(const exchange_shape& shape,
                             const std::vector<node_id>& peers,
                             std::chrono::milliseconds limit) {
  CHECK(net_ && peers.size() == shape.num_peers);
  CHECK(std::max(shape.dispatch_bytes, shape.combine_bytes) <= rows_->size());
  std::unique_lock guard{mutex_};
  shape_ = shape;
  peers_ = peers;
  is_wrong_ = false;
  progress_.emplace(shape);
  send_rounds(std::move(guard));
  guard = std::unique_lock{mutex_};
  over_.wait_for(guard, limit,
                 [&] { return is_wrong_ || progress_->is_done(); });
  auto is_done = progress_->is_done() && !is_wrong_;
  progress_.reset();
  return is_done;
}

} // namespace troupe::bench
