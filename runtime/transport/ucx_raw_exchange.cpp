#include "runtime/transport/ucx_raw_exchange.hpp"

#include "kernels/host/crowd.hpp"
#include "runtime/transport/ucx_worker.hpp"

#include <cstring>
#include <deque>
#include <map>

namespace troupe {

namespace {

/// The header of a message.
struct raw_header {
  uint32_t from = 0;
  uint32_t round = 0;
  uint32_t answer_bytes = 0; ///< 0: it is an answer.
};

/// As ucx_io: without a sleep a crowd of processes would take turns at looking
/// for work.
constexpr std::chrono::microseconds spin{50}, sending_spin{1000};
constexpr std::chrono::milliseconds longest_sleep{1};

} // namespace

struct ucx_raw_exchange::state {
  uint32_t self = 0;
  endpoint_address host;
  std::vector<std::byte> rows; ///< What all messages consist of.
  std::unique_ptr<ucx_worker> worker;
  std::map<uint32_t, ucp_ep_h> endpoints = {};
  using buffer = std::unique_ptr<std::byte[]>; ///< Of rows.size() bytes.

  std::vector<buffer> idle = {};
  size_t num_sending = 0;
  size_t num_receiving = 0;
  bool is_broken = false;
  kernels::crowd others = {};

  // Of a run.
  std::optional<bench::exchange_progress> progress = {};
  uint32_t answer_bytes = 0;
  uint64_t num_answered = 0; ///< Rounds of others.
  struct answer {
    uint32_t to = 0;
    uint32_t round = 0;
    uint32_t bytes = 0;
  };

  std::deque<answer> answers = {}; ///< That are owed.

  struct outgoing {
    state* owner;
    raw_header header;
  };

  struct incoming {
    state* owner;
    raw_header header;
    buffer bytes;
    size_t length;
  };

  buffer take_buffer() {
    if (idle.empty())
      return std::make_unique_for_overwrite<std::byte[]>(rows.size());
    auto out = std::move(idle.back());
    idle.pop_back();
    return out;
  }

  void send(uint32_t to, raw_header header, uint32_t bytes) {
    auto x = new outgoing{this, header};
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK
                         | UCP_OP_ATTR_FIELD_USER_DATA;
    param.user_data = x;
    param.cb.send = [](void* request, ucs_status_t status, void* data) {
      ucp_request_free(request);
      sent(static_cast<outgoing*>(data), status);
    };
    ++num_sending;
    auto request = ucp_am_send_nbx(endpoints.at(to), ucx_worker::message_id,
                                   &x->header, sizeof x->header, rows.data(),
                                   bytes, &param);
    if (!UCS_PTR_IS_PTR(request))
      sent(x, UCS_PTR_STATUS(request));
  }

  static void sent(outgoing* x, ucs_status_t status) {
    --x->owner->num_sending;
    x->owner->is_broken |= status != UCS_OK;
    delete x;
  }

  ucs_status_t receive(std::span<const std::byte> bytes, void* data,
                       size_t length, bool is_rendezvous) {
    raw_header header;
    if (bytes.size() != sizeof header) {
      is_broken = true;
      return UCS_OK;
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    if (!is_rendezvous) {
      take(header, length);
      return UCS_OK;
    }
    is_broken |= length > rows.size();
    if (is_broken)
      return UCS_OK;
    auto x = new incoming{this, header, take_buffer(), length};
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK
                         | UCP_OP_ATTR_FIELD_USER_DATA
                         | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
    param.user_data = x;
    param.cb.recv_am = [](void* request, ucs_status_t status, size_t,
                          void* self) {
      ucp_request_free(request);
      received(static_cast<incoming*>(self), status);
    };
    ++num_receiving;
    auto request = ucp_am_recv_data_nbx(worker->handle(), data, x->bytes.get(),
                                        length, &param);
    if (!UCS_PTR_IS_PTR(request))
      received(x, UCS_PTR_STATUS(request));
    return UCS_INPROGRESS;
  }

  static void received(incoming* x, ucs_status_t status) {
    --x->owner->num_receiving;
    x->owner->idle.push_back(std::move(x->bytes));
    if (status == UCS_OK)
      x->owner->take(x->header, x->length);
    else
      x->owner->is_broken = true;
    delete x;
  }

  void take(const raw_header& x, size_t length) {
    if (x.answer_bytes > 0)
      answers.push_back({x.from, x.round, x.answer_bytes});
    else
      is_broken |= !progress || length != answer_bytes
                   || !progress->answered(x.round);
  }

  void pay_answers() {
    for (; !answers.empty(); answers.pop_front()) {
      auto& x = answers.front();
      is_broken |= !endpoints.contains(x.to) || x.bytes > rows.size();
      if (is_broken)
        return;
      send(x.to, {self, x.round, 0}, x.bytes);
      ++num_answered;
    }
  }

  /// Others of the exchange may want the core.
  void pause(clock::instant::duration idle) {
    auto is_fresh = idle < (num_sending > 0 ? sending_spin : spin);
    if (is_fresh && !others.is_dense())
      others.yield();
    else
      worker->wait(longest_sleep, [] { return false; });
  }

  bool is_over(const bench::exchange_shape& shape) const {
    return progress->is_done() && num_sending == 0 && num_receiving == 0
           && num_answered == uint64_t{shape.num_peers} * shape.num_rounds;
  }
};

ucx_raw_exchange::ucx_raw_exchange(std::unique_ptr<state> x)
  : state_(std::move(x)) {
}

result<std::unique_ptr<ucx_raw_exchange>>
ucx_raw_exchange::open(const endpoint_address& listen, uint32_t self,
                       uint32_t max_body) {
  auto x = std::make_unique<state>();
  x->self = self;
  x->host = listen;
  x->rows.resize(max_body);
  auto worker = ucx_worker::open(
    listen, [x = x.get()](std::span<const std::byte> header, void* data,
                          size_t length, bool is_rendezvous) {
      return x->receive(header, data, length, is_rendezvous);
    });
  if (!worker)
    return worker.why();
  x->worker = std::move(*worker);
  return std::unique_ptr<ucx_raw_exchange>{new ucx_raw_exchange{std::move(x)}};
}

ucx_raw_exchange::~ucx_raw_exchange() {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  for (auto& [peer, endpoint] : state_->endpoints) {
    auto request = ucp_ep_close_nbx(endpoint, &param);
    while (UCS_PTR_IS_PTR(request)
           && ucp_request_check_status(request) == UCS_INPROGRESS)
      state_->worker->progress();
    if (UCS_PTR_IS_PTR(request))
      ucp_request_free(request);
  }
}

std::vector<std::byte> ucx_raw_exchange::address() const {
  return state_->worker->data_address();
}

result<void> ucx_raw_exchange::connect(uint32_t peer,
                                       std::span<const std::byte> address) {
  if (auto ok = state_->worker->admit(state_->host); !ok)
    return ok;
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS
                      | UCP_EP_PARAM_FIELD_ERR_HANDLER
                      | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.arg = state_.get();
  params.err_handler.cb = [](void* x, ucp_ep_h, ucs_status_t) {
    static_cast<state*>(x)->is_broken = true;
  };
  ucp_ep_h endpoint = nullptr;
  auto status = ucp_ep_create(state_->worker->handle(), &params, &endpoint);
  if (status != UCS_OK)
    return failure{errc::io, std::string{"ucx: cannot connect: "}
                               + ucs_status_string(status)};
  state_->endpoints[peer] = endpoint;
  return {};
}

bool ucx_raw_exchange::run(const bench::exchange_shape& shape,
                           const clock& time, std::chrono::milliseconds limit) {
  auto& x = *state_;
  CHECK(x.endpoints.size() == shape.num_peers);
  CHECK(std::max(shape.dispatch_bytes, shape.combine_bytes) <= x.rows.size());
  x.progress.emplace(shape);
  x.answer_bytes = shape.combine_bytes;
  auto last_busy = time.now();
  auto deadline = last_busy + limit;
  while (!x.is_over(shape) && !x.is_broken) {
    while (auto round = x.progress->next())
      for (auto& [peer, endpoint] : x.endpoints)
        x.send(peer, {x.self, *round, shape.combine_bytes},
               shape.dispatch_bytes);
    auto is_busy = x.worker->progress() || !x.answers.empty();
    x.pay_answers();
    auto now = time.now();
    if (is_busy)
      last_busy = now;
    else if (now > deadline)
      x.is_broken = true;
    else
      x.pause(now - last_busy);
  }
  x.num_answered = 0;
  return !x.is_broken;
}

} // namespace troupe
