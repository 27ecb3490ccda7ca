#include "actors/networks.hpp"

#include "runtime/transport/loopback.hpp"

namespace troupe {

namespace {

/// A transport together with the network that has to outlive it.
class lone_transport : public transport {
public:
  lone_transport(const network_options& options, transport_handler handler)
    : net_({.cluster = options.cluster}),
      inner_(net_.join(0, {options.name, options.incarnation, 0, {}},
                       std::move(handler))) {
  }

  void send(node_id to, frame_header header, body payload) override {
    inner_->send(to, header, std::move(payload));
  }

  void set_view(uint32_t view, uint32_t epoch) override {
    inner_->set_view(view, epoch);
  }

  void disconnect(node_id peer) override {
    inner_->disconnect(peer);
  }

  transport_stats stats() const override {
    return inner_->stats();
  }

private:
  loopback_network net_;
  std::unique_ptr<transport> inner_;
};

} // namespace

network_factory one_node_network(network_options options) {
  return [options](transport_handler handler) -> result<network> {
    network out;
    out.net = std::make_unique<lone_transport>(options, std::move(handler));
    return out;
  };
}

} // namespace troupe
