#include "runtime/transport/ucx_link.hpp"

#include "runtime/transport/ucx_worker.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

struct ucx_link::outgoing {
  std::shared_ptr<ucx_link> link;
  header_bytes header;
  body payload;
  unsent_charge charge;

  size_t size() const {
    return header.size() + payload.bytes().size();
  }
};

struct ucx_link::incoming {
  std::shared_ptr<ucx_link> link;
  header_bytes header;
  std::shared_ptr<std::byte> bytes;
  size_t length;
  ucs_status_t status = UCS_INPROGRESS;
  incoming_ptr self = {}; ///< While UCX has a pointer to it.
};

// -- opening and closing ------------------------------------------------------

ucx_link::ucx_link(owner& o, std::shared_ptr<block_pool> pool)
  : owner_(o), pool_(std::move(pool)),
    inbox_(per_lane<queue>(pooled_allocator<incoming_ptr>{pool_})) {
}

ucs_status_t ucx_link::connect(ucp_worker_h worker,
                               std::span<const std::byte> address) {
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS
                      | UCP_EP_PARAM_FIELD_ERR_HANDLER
                      | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.arg = this;
  params.err_handler.cb = [](void* self, ucp_ep_h, ucs_status_t status) {
    auto link = static_cast<ucx_link*>(self);
    if (!link->is_closing_)
      link->owner_.on_failure(*link, status);
  };
  return ucp_ep_create(worker, &params, &endpoint_);
}

void ucx_link::close() {
  if (std::exchange(is_closing_, true))
    return;
  for (auto& inbox : inbox_)
    inbox.clear();
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  close_request_ = ucp_ep_close_nbx(endpoint_, &param);
}

bool ucx_link::is_closed() {
  if (UCS_PTR_IS_PTR(close_request_)) {
    if (ucp_request_check_status(close_request_) == UCS_INPROGRESS)
      return false;
    ucp_request_free(close_request_);
    close_request_ = nullptr;
  }
  return is_closing_ && num_sending_ == 0 && num_receiving_ == 0;
}

// -- sending ------------------------------------------------------------------

void ucx_link::send(const header_bytes& header, body payload,
                    unsent_charge charge) {
  if (is_closing_)
    return;
  auto x = pool_->make<outgoing>(shared_from_this(), header, std::move(payload),
                                 std::move(charge));
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.user_data = x;
  param.cb.send = [](void* request, ucs_status_t status, void* data) {
    ucp_request_free(request);
    auto op = static_cast<outgoing*>(data);
    op->link->finish(op, status);
  };
  ++num_sending_;
  bytes_sending_[size_t(lane_of(header))] += x->size();
  auto bytes = x->payload.bytes();
  auto request = ucp_am_send_nbx(endpoint_, ucx_worker::message_id,
                                 x->header.data(), x->header.size(),
                                 bytes.data(), bytes.size(), &param);
  if (!UCS_PTR_IS_PTR(request))
    finish(x, UCS_PTR_STATUS(request));
}

void ucx_link::finish(outgoing* x, ucs_status_t status) {
  auto self = x->link;
  bytes_sending_[size_t(lane_of(x->header))] -= x->size();
  pool_->unmake(x);
  --num_sending_;
  ++num_sent_;
  if (status != UCS_OK && !is_closing_)
    owner_.on_failure(*this, status);
}

// -- receiving ----------------------------------------------------------------

ucs_status_t ucx_link::receive(ucp_worker_h worker, const header_bytes& header,
                               void* data, size_t length, bool is_rendezvous) {
  if (is_closing_)
    return UCS_OK;
  auto x = std::allocate_shared<incoming>(pooled_allocator<incoming>{pool_});
  x->link = shared_from_this();
  x->header = header;
  x->length = length;
  if (length > 0)
    x->bytes = take_shared(pool_, length);
  auto which = lane_of(header);
  inbox_[size_t(which)].push_back(x);
  num_expected_ += length;
  if (!is_rendezvous) {
    if (length > 0)
      std::memcpy(x->bytes.get(), data, length);
    x->status = UCS_OK;
    deliver_complete(which);
    return UCS_OK;
  }
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA
                       | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  param.user_data = x.get();
  param.cb.recv_am = [](void* request, ucs_status_t status, size_t,
                        void* user_data) {
    auto op = std::move(static_cast<incoming*>(user_data)->self);
    ucp_request_free(request);
    op->status = status;
    --op->link->num_receiving_;
    op->link->deliver_complete(lane_of(op->header));
  };
  x->self = x;
  ++num_receiving_;
  auto request = ucp_am_recv_data_nbx(worker, data, x->bytes.get(), length,
                                      &param);
  if (UCS_PTR_IS_PTR(request))
    return UCS_INPROGRESS;
  x->self.reset();
  --num_receiving_;
  x->status = UCS_PTR_STATUS(request);
  deliver_complete(which);
  return UCS_INPROGRESS;
}

lane_counts ucx_link::num_waiting() const {
  lane_counts out;
  std::ranges::transform(inbox_, out.begin(),
                         [](auto& x) { return uint32_t(x.size()); });
  return out;
}

void ucx_link::deliver_complete(lane which) {
  auto& inbox = inbox_[size_t(which)];
  while (!inbox.empty() && inbox.front()->status != UCS_INPROGRESS) {
    auto x = std::move(inbox.front());
    inbox.pop_front();
    num_expected_ -= x->length;
    if (x->status == UCS_OK)
      owner_.on_message(*this, x->header,
                        {x->bytes, {x->bytes.get(), x->length}});
    else if (!is_closing_)
      owner_.on_failure(*this, x->status);
  }
}

} // namespace troupe
