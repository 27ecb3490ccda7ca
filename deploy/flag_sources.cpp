#include "deploy/flag_sources.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <set>

namespace troupe {

namespace {

constexpr const char* config_flag = "config";

// Neither for a variable nor for a file: what is no setting, and keys, which
// have a variable and a file of their own.
const std::set<std::string> only_typed = {config_flag, "help", "api-key",
                                          "fault-channel"};

/// TROUPE_MAX_MODEL_LEN for max-model-len.
std::string variable_of(const std::string& flag) {
  std::string out = "TROUPE_";
  for (unsigned char c : flag)
    out += c == '-' ? '_' : char(std::toupper(c));
  return out;
}

/// Whether a source says anything with it. Behind "--flag=" the parser would
/// take the next word for what is empty; and Kubernetes says
/// TROUPE_PORT=tcp://10.0.0.1:8000 to all beside a service that is called
/// troupe.
bool is_said(std::string_view value) {
  return !value.empty() && !value.starts_with("tcp://")
         && !value.starts_with("udp://") && !value.starts_with("sctp://");
}

/// The flags of `args`, without their dashes.
std::set<std::string> flags_in(const std::vector<std::string>& args) {
  std::set<std::string> out;
  for (const auto& arg : args)
    if (arg.starts_with("--"))
      out.insert(arg.substr(2, arg.find('=') - 2));
  return out;
}

/// The last value of a flag in `args`; empty if it is not there.
std::string value_of(const std::vector<std::string>& args,
                     const std::string& flag) {
  std::string out;
  auto name = "--" + flag;
  for (size_t i = 0; i < args.size(); ++i)
    if (args[i].starts_with(name + "="))
      out = args[i].substr(name.size() + 1);
    else if (args[i] == name && i + 1 < args.size())
      out = args[i + 1];
  return out;
}

std::set<std::string> settings_of(const CLI::App& command) {
  std::set<std::string> out;
  for (const auto* x : command.get_options())
    for (const auto& name : x->get_lnames())
      if (!only_typed.contains(name))
        out.insert(name);
  return out;
}

/// What `file` says to `command`: at its top, or in its section.
std::multimap<std::string, std::string>
read_file(const std::string& file, const std::string& command,
          const std::set<std::string>& known) {
  std::multimap<std::string, std::string> out;
  for (const auto& item : CLI::ConfigTOML{}.from_file(file)) {
    auto ours = item.parents.empty()
                || (item.parents.size() == 1 && item.parents[0] == command);
    if (!ours || item.name == "++" || item.name == "--")
      continue;
    if (!known.contains(item.name))
      throw CLI::ConfigError(file + ": '" + item.name
                             + "' is no flag that a file may set");
    for (const auto& value : item.inputs)
      out.emplace(item.name, value);
  }
  return out;
}

/// The subcommand that `args` name, if it has sources; or null.
const CLI::App* command_of(const CLI::App& app,
                           const std::vector<std::string>& args) {
  auto flag = std::string{"--"} + config_flag;
  auto named = app.get_subcommands([&](const CLI::App* x) {
    return args.size() > 1 && x->get_name() == args[1]
           && x->get_option_no_throw(flag);
  });
  return named.empty() ? nullptr : named.front();
}

} // namespace

void add_flag_sources(CLI::App& command) {
  command
    .add_option_function<std::string>(
      std::string{"--"} + config_flag, [](auto&) {},
      "File of flags, as TOML: max-model-len = 4096. A section of the "
      "command's name is read, others are not")
    ->type_name("FILE");
  auto footer = command.get_footer();
  command.footer("Flags that are not given are taken from the environment "
                 "(TROUPE_MAX_MODEL_LEN for --max-model-len), then from "
                 "--config. Numbers with a suffix: 32k is 32000, 32K is 32768."
                 + (footer.empty() ? "" : "\n\n" + footer));
}

std::vector<std::string> with_flag_sources(const CLI::App& app,
                                           std::vector<std::string> args) {
  const auto* command = command_of(app, args);
  if (!command)
    return args;
  auto known = settings_of(*command);
  auto given = flags_in(args);
  std::vector<std::string> more;
  auto set = [&](const std::string& flag, const std::string& value) {
    more.push_back("--" + flag + "=" + value);
  };
  auto file = value_of(args, config_flag);
  for (const auto& flag : known)
    if (const auto* value = std::getenv(variable_of(flag).c_str());
        value && is_said(value) && !given.contains(flag)) {
      set(flag, value);
      given.insert(flag);
    }
  if (!file.empty())
    for (const auto& [flag, value] : read_file(file, args[1], known))
      if (is_said(value) && !given.contains(flag))
        set(flag, value);
  args.insert(args.begin() + 2, more.begin(), more.end());
  return args;
}

CLI::Validator with_suffix() {
  using number = uint64_t;
  const std::map<std::string, number> factors
    = {{"k", 1000}, {"K", 1 << 10}, {"m", 1'000'000}, {"M", 1 << 20}};
  return CLI::AsNumberWithUnit{factors, CLI::AsNumberWithUnit::CASE_SENSITIVE,
                               "k|K|m|M"};
}

} // namespace troupe
