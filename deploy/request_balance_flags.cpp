#include "deploy/request_balance_flags.hpp"

#include "deploy/balance_time.hpp"
#include "runtime/cluster/request_settings.hpp"
#include "runtime/topology.hpp"

namespace troupe {

void request_balance_flags::add_to(CLI::App& command) {
  command
    .add_option(
      "--balance-requests", interval,
      "How often to look whether running requests should move to "
      "other ranks of their unit, by what steps take there (1s); "
      "off: they stay. New ones go where their prompts are read first and "
      "steps are the shortest, too")
    ->capture_default_str();
}

result<std::shared_ptr<const request_settings>>
request_balance_flags::settings() const {
  using settings_ptr = std::shared_ptr<const request_settings>;
  if (!is_on())
    return settings_ptr{};
  auto every = read_balance_time("--balance-requests", interval);
  if (!every)
    return every.why();
  auto out = std::make_shared<request_settings>();
  out->interval = *every;
  return settings_ptr{std::move(out)};
}

result<void> request_balance_flags::apply(topology& cluster) const {
  if (!is_on())
    return {};
  if (!cluster.limits.prefix_caching)
    return failure{errc::invalid_input,
                   "--balance-requests goes with --prefix-caching on"};
  cluster.limits.moving_requests = true;
  return {};
}

std::string request_balance_flags::replayed() const {
  return is_on() ? " --balance-requests " + interval : "";
}

} // namespace troupe
