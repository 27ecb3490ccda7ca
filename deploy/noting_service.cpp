#include "deploy/noting_service.hpp"

#include "runtime/cluster/cluster_status.hpp"

namespace troupe {

noting_service::noting_service(service& inner,
                               std::function<void(const trace_entry&)> note)
  : inner_(inner),
    note_(std::make_shared<std::function<void(const trace_entry&)>>(
      std::move(note))) {
}

service_info noting_service::info() const {
  return inner_.info();
}

service_stats noting_service::stats() const {
  return inner_.stats();
}

cluster_status noting_service::cluster() const {
  return inner_.cluster();
}

std::optional<std::string> noting_service::trouble() const {
  return inner_.trouble();
}

result<request_id> noting_service::submit(generation_request request,
                                          event_handler on_event) {
  auto told = [note = note_, tell = std::move(on_event)](auto& event) {
    for (size_t i = 0; i < event.tokens.size(); ++i)
      (*note)({.kind = trace_kind::token_emitted, .node = 0});
    if (event.finish != finish_reason::none)
      (*note)({.kind = trace_kind::request_ended, .node = 0});
    tell(event);
  };
  auto id = inner_.submit(std::move(request), std::move(told));
  if (id)
    (*note_)({.kind = trace_kind::request_accepted, .node = 0, .a = *id});
  return id;
}

void noting_service::cancel(request_id id) {
  inner_.cancel(id);
}

void noting_service::drain(const std::string& node,
                           std::chrono::milliseconds limit,
                           std::function<void(const result<void>&)> begun) {
  inner_.drain(node, limit, std::move(begun));
}

void noting_service::undrain(const std::string& node,
                             std::function<void(const result<void>&)> done) {
  inner_.undrain(node, std::move(done));
}

} // namespace troupe
