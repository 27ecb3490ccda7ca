#pragma once

/// A service that notes what happens to requests, for those who wait for the
/// n-th event of a kind.

#include "runtime/service.hpp"
#include "runtime/sim/trace.hpp"

namespace troupe {

class noting_service final : public service {
public:
  /// `note` is called on any thread: request_accepted, token_emitted and
  /// request_ended. `inner` outlives this.
  noting_service(service& inner, std::function<void(const trace_entry&)> note);

  service_info info() const override;
  service_stats stats() const override;
  cluster_status cluster() const override;
  std::optional<std::string> trouble() const override;
  result<request_id> submit(generation_request request,
                            event_handler on_event) override;
  void cancel(request_id id) override;
  void drain(const std::string& node, std::chrono::milliseconds limit,
             std::function<void(const result<void>&)> begun) override;
  void undrain(const std::string& node,
               std::function<void(const result<void>&)> done) override;

private:
  service& inner_;
  const std::shared_ptr<std::function<void(const trace_entry&)>> note_;
};

} // namespace troupe
