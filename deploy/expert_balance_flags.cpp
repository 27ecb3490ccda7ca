#include "deploy/expert_balance_flags.hpp"

#include "runtime/cluster/balance_settings.hpp"
#include "runtime/duration.hpp"

namespace troupe {

namespace {

/// Shorter ones find nothing new: nodes report once a second.
constexpr std::chrono::milliseconds least_interval{100};

result<std::chrono::milliseconds> read_time(const std::string& flag,
                                            const std::string& text) {
  auto time = parse_duration(text);
  if (!time)
    return failure{errc::invalid_input,
                   flag + " " + std::string{duration_form}};
  auto out = std::chrono::ceil<std::chrono::milliseconds>(*time);
  if (out < least_interval)
    return failure{errc::invalid_input, flag + " is 100ms at least"};
  return out;
}

} // namespace

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
  auto every = read_time("--balance-experts", interval);
  if (!every)
    return every.why();
  auto within = read_time("--balance-payback", payback);
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
