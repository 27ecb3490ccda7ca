#include "deploy/expert_balance_flags.hpp"

#include "deploy/balance_time.hpp"
#include "runtime/cluster/balance_settings.hpp"

namespace troupe {

void expert_balance_flags::add_to(CLI::App& command) {
  command
    .add_option("--balance-experts", interval,
                "How often to look whether experts should move to other "
                "workers, by what they were asked of late (10s); off: they "
                "stay. Moves go through the slots of --spare-expert-slots")
    ->capture_default_str();
  command
    .add_option("--balance-payback", payback,
                "Within this a moved expert has to save the fullest worker as "
                "many bytes of rows as it has itself")
    ->capture_default_str();
  command.add_option("--expert-load", load_file,
                     "Loads (CSV, as troupe balance record writes them) by "
                     "which experts move as soon as the company serves");
}

result<std::shared_ptr<const balance_settings>>
expert_balance_flags::settings() const {
  using settings_ptr = std::shared_ptr<const balance_settings>;
  if (interval == "off") {
    if (!load_file.empty())
      return failure{errc::invalid_input,
                     "--expert-load goes with --balance-experts"};
    return settings_ptr{};
  }
  auto out = std::make_shared<balance_settings>();
  auto every = read_balance_time("--balance-experts", interval);
  if (!every)
    return every.why();
  auto within = read_balance_time("--balance-payback", payback);
  if (!within)
    return within.why();
  out->interval = *every;
  out->payback = *within;
  if (!load_file.empty()) {
    auto loads = balance::read_loads(load_file, {});
    if (!loads)
      return loads.why();
    out->first_loads = std::move(*loads);
  }
  return settings_ptr{std::move(out)};
}

std::string expert_balance_flags::replayed() const {
  if (interval == "off")
    return "";
  auto out = " --balance-experts " + interval + " --balance-payback " + payback;
  return load_file.empty() ? out : out + " --expert-load " + load_file;
}

} // namespace troupe
