#include "runtime/transport/ucx_worker.hpp"

#include "runtime/transport/ucx_address.hpp"

#include <ucs/config/global_opts.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace troupe {

namespace {

/// Bytes of a frame that goes out at once: 64 rows of DeepSeek-V3 do.
constexpr const char* segment = "512k";

failure io_failure(const char* what, ucs_status_t status) {
  return {errc::io,
          std::string{"ucx: "} + what + ": " + ucs_status_string(status)};
}

/// Whether the user has set it in the environment.
bool is_chosen(const std::string& name) {
  return std::getenv(("UCX_" + name).c_str()) != nullptr;
}

/// Sets what the user has not set in the environment. There the name of a
/// transport's setting begins with the transport's; here it does not.
void set_default(ucp_config_t* config, const char* name, const char* value,
                 const char* transport = "") {
  if (!is_chosen(std::string{transport} + name))
    ucp_config_modify(config, name, value);
}

/// The same for settings of the whole process, which UCX read as it was loaded.
void set_global_default(const char* name, const char* value) {
  if (!is_chosen(name))
    ucs_global_opts_set_value(name, value);
}

ucs_status_t on_am(void* self, const void* header, size_t header_length,
                   void* data, size_t length,
                   const ucp_am_recv_param_t* param) {
  auto& handle = *static_cast<ucx_worker::message_handler*>(self);
  auto is_rendezvous = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  return handle({static_cast<const std::byte*>(header), header_length}, data,
                length, is_rendezvous);
}

/// The address from which a process at `host` connects: on the loopback
/// interface UCX has but this one, and takes no other.
result<socket_address> source_of(const endpoint_address& host) {
  auto out = to_socket_address({host.host, 0});
  return out && is_loopback(*out) ? to_socket_address({"127.0.0.1", 0}) : out;
}

} // namespace

ucx_worker::ucx_worker(message_handler on_message)
  : on_message_(std::move(on_message)) {
}

ucx_worker::~ucx_worker() {
  if (worker_)
    ucp_worker_destroy(worker_);
  if (context_)
    ucp_cleanup(context_);
  if (wake_fd_ >= 0)
    close(wake_fd_);
}

result<std::unique_ptr<ucx_worker>>
ucx_worker::open(const endpoint_address& address, message_handler on_message) {
  std::unique_ptr<ucx_worker> x{new ucx_worker{std::move(on_message)}};
  if (auto ok = x->start(address); !ok)
    return ok.why();
  return x;
}

result<void> ucx_worker::start(const endpoint_address& address) {
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0)
    return failure{errc::io, "cannot make an eventfd"};
  if (auto ok = start_context(address); !ok)
    return ok;
  auto known = port_filter::listening_sockets();
  if (auto ok = start_worker(); !ok)
    return ok;
  return close_ports(known);
}

result<void> ucx_worker::start_context(const endpoint_address& address) {
  auto socket = to_socket_address(address);
  if (!socket)
    return socket.why();
  auto device = interface_of(*socket);
  if (!device)
    return device.why();
  if (!is_chosen("NET_DEVICES") && !is_chosen("TLS"))
    if (auto ok = check_seen_by_ucx(*device); !ok)
      return ok;
  // Peers that die are no news for stderr.
  set_global_default("LOG_LEVEL", "fatal");
  // Without its caches UCX need not follow every change of the process's
  // memory; neither TCP nor bodies in host memory profit from them.
  set_global_default("MEMTYPE_CACHE", "n");
  ucp_config_t* config = nullptr;
  if (auto s = ucp_config_read(nullptr, nullptr, &config); s != UCS_OK)
    return io_failure("cannot read its configuration", s);
  // TCP alone: a killed sender can wedge the receiver of shared memory. One
  // device: a second rail would reorder frames.
  set_default(config, "TLS", "tcp,self");
  set_default(config, "NET_DEVICES", device->c_str());
  set_default(config, "RCACHE_ENABLE", "n");
  // By the address of a worker and with errors handled UCX's rendezvous does
  // not write into the other's memory: it costs a question, and the bytes come
  // in pieces. Frames of up to one segment are faster without.
  // A segment is for both sides: UCX 1.13 writes beyond its buffer if one is
  // longer than the receiver's. So nobody may choose another.
  ucp_config_modify(config, "RX_SEG_SIZE", segment);
  set_default(config, "RNDV_THRESH", segment);
  if (socket->storage.ss_family == AF_INET6 && !is_loopback(*socket))
    set_default(config, "AF_PRIO", "inet6", "TCP_");
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  auto status = ucp_init(&params, config, &context_);
  ucp_config_release(config);
  if (status != UCS_OK)
    return io_failure("cannot start", status);
  return {};
}

result<void> ucx_worker::start_worker() {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  if (auto s = ucp_worker_create(context_, &params, &worker_); s != UCS_OK)
    return io_failure("cannot make a worker", s);
  if (auto s = ucp_worker_get_efd(worker_, &event_fd_); s != UCS_OK)
    return io_failure("cannot sleep", s);
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID
                       | UCP_AM_HANDLER_PARAM_FIELD_CB
                       | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = message_id;
  handler.cb = on_am;
  handler.arg = &on_message_;
  if (auto s = ucp_worker_set_am_recv_handler(worker_, &handler); s != UCS_OK)
    return io_failure("cannot receive", s);
  return {};
}

/// Closes the ports that UCX has opened: those that were not `known` before.
result<void> ucx_worker::close_ports(const std::vector<int>& known) {
  auto sockets = port_filter::listening_sockets();
  std::erase_if(sockets, [&](int fd) {
    return std::ranges::find(known, fd) != known.end();
  });
  auto closed = port_filter::close(std::move(sockets));
  if (!closed)
    return closed.why();
  ports_ = std::move(*closed);
  return {};
}

std::vector<std::byte> ucx_worker::data_address() const {
  ucp_address_t* address = nullptr;
  size_t size = 0;
  CHECK(ucp_worker_get_address(worker_, &address, &size) == UCS_OK);
  auto first = reinterpret_cast<const std::byte*>(address);
  std::vector<std::byte> out(first, first + size);
  ucp_worker_release_address(worker_, address);
  return out;
}

result<void> ucx_worker::admit(const endpoint_address& host) {
  auto source = source_of(host);
  return source ? ports_->admit(*source) : source.why();
}

void ucx_worker::dismiss(const endpoint_address& host) {
  if (auto source = source_of(host))
    ports_->dismiss(*source);
}

void ucx_worker::wait(std::chrono::milliseconds limit,
                      const std::function<bool()>& has_work) {
  sleeping_ = true;
  // Armed means: whatever comes from here on makes event_fd_ readable.
  if (!has_work() && ucp_worker_arm(worker_) == UCS_OK) {
    pollfd fds[] = {{event_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    poll(fds, 2, int(limit.count()));
  }
  sleeping_ = false;
  uint64_t ignored;
  [[maybe_unused]] auto n = read(wake_fd_, &ignored, sizeof ignored);
}

void ucx_worker::wake() {
  if (!sleeping_)
    return;
  uint64_t one = 1;
  [[maybe_unused]] auto n = write(wake_fd_, &one, sizeof one);
}

} // namespace troupe
