#include "runtime/transport/ucx_transport.hpp"

#include "runtime/transport/ucx_address.hpp"
#include "runtime/transport/ucx_io.hpp"

namespace troupe {

namespace {

constexpr size_t max_name = 64;

result<void> check(const ucx_options& x) {
  auto no = [](std::string why) { return failure{errc::invalid_input, why}; };
  auto address = to_socket_address(x.listen);
  if (!address)
    return address.why();
  if (x.self.name.empty() || x.self.name.size() > max_name)
    return no("the name of a node has 1 to 64 bytes");
  if (x.cluster.empty() || x.cluster.size() > max_name)
    return no("the name of a cluster has 1 to 64 bytes");
  if (x.secret.empty() && !x.insecure && !is_loopback(*address))
    return no("listening on " + x.listen.host + " needs a cluster secret");
  if (x.heartbeat_period.count() < 1
      || x.silence_verdict < 2 * x.heartbeat_period)
    return no("the silence verdict is at least two heartbeat periods");
  if (x.window == 0)
    return no("the window holds at least one byte");
  if (x.max_body > UINT32_MAX || x.max_unsent < x.max_body)
    return no("the limit on unsent bytes holds at least one body");
  auto& tls = x.tls;
  auto num_empty = tls.certificate.empty() + tls.key.empty()
                   + tls.authorities.empty();
  if (num_empty != 0 && num_empty != 3)
    return no("TLS between nodes takes a certificate, its key and the file of "
              "the authorities");
  return {};
}

} // namespace

result<std::unique_ptr<ucx_transport>>
ucx_transport::listen(ucx_options options, ucx_environment environment,
                      admission admit, transport_handler handler) {
  if (auto ok = check(options); !ok)
    return ok.why();
  while (options.self.incarnation == 0)
    options.self.incarnation = environment.chance.draw();
  auto io = std::make_unique<ucx_io>(std::move(options), environment,
                                     std::move(admit), std::move(handler));
  if (auto ok = io->start(); !ok)
    return ok.why();
  return std::unique_ptr<ucx_transport>{new ucx_transport{std::move(io)}};
}

ucx_transport::ucx_transport(std::unique_ptr<ucx_io> io) : io_(std::move(io)) {
}

ucx_transport::~ucx_transport() = default;

const node_identity& ucx_transport::self() const {
  return io_->self();
}

void ucx_transport::set_self(node_id id) {
  io_->set_self(id);
}

void ucx_transport::connect(node_id peer, dial_target target) {
  io_->connect(peer, std::move(target));
}

void ucx_transport::monitor(node_id peer) {
  io_->monitor(peer);
}

void ucx_transport::send(node_id to, frame_header header, body payload) {
  io_->send(to, header, std::move(payload));
}

void ucx_transport::set_max_unsent(size_t bytes) {
  io_->set_max_unsent(bytes);
}

void ucx_transport::set_view(uint32_t view) {
  io_->set_view(view);
}

void ucx_transport::disconnect(node_id peer, uint64_t incarnation,
                               const std::string& why) {
  io_->disconnect(peer, incarnation, why);
}

transport_stats ucx_transport::stats() const {
  return io_->stats();
}

} // namespace troupe
