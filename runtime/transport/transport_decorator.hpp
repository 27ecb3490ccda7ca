#pragma once

/// What transports around another one have in common. By itself it changes
/// nothing of what the inner one does.

#include "runtime/transport/transport.hpp"

#include <memory>

namespace troupe {

class transport_decorator : public transport {
public:
  explicit transport_decorator(std::unique_ptr<transport> inner)
    : inner_(std::move(inner)) {
  }

  void send(node_id to, frame_header header, body payload) override {
    inner_->send(to, header, std::move(payload));
  }

  void set_max_unsent(size_t bytes) override {
    inner_->set_max_unsent(bytes);
  }

  void set_view(uint32_t view) override {
    inner_->set_view(view);
  }

  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override {
    inner_->disconnect(peer, incarnation, why);
  }

  transport_stats stats() const override {
    return inner_->stats();
  }

protected:
  transport& inner() {
    return *inner_;
  }

  /// For the destructors of those whose members the inner one tells of peers:
  /// it ends before them.
  void end_inner() {
    inner_.reset();
  }

private:
  std::unique_ptr<transport> inner_;
};

} // namespace troupe
