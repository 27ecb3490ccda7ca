#include "deploy/device_flag.hpp"

#include "kernels/cpu_targets.hpp"
#include "kernels/cuda_device.hpp"
#include "kernels/device.hpp"

#include <algorithm>
#include <charconv>

namespace troupe {

namespace {

constexpr const char* forms = "cpu, cpu/TARGET, reference, cuda or cuda:N";

constexpr std::string_view cpu_prefix = "cpu/";

std::string listed_targets() {
  std::string out;
  for (auto& x : kernels::cpu_targets())
    out += (out.empty() ? "" : ", ") + x;
  return out;
}

result<device_choice> parse_cpu_target(const std::string& name) {
  auto all = kernels::cpu_targets();
  auto target = name.substr(cpu_prefix.size());
  if (std::ranges::find(all, target) != all.end())
    return device_choice{device_choice::kind::cpu, 0, target};
  return failure{errc::invalid_input, "\"" + name
                                        + "\" is no device: the targets that "
                                          "this machine has are "
                                        + listed_targets()};
}

} // namespace

void add_device(CLI::App& command, std::string& value) {
  auto is_known = [](const std::string& name) {
    auto found = parse_device(name);
    return found ? std::string{} : found.why().message;
  };
  command
    .add_option(
      "--device", value,
      std::string{"What is computed on: "} + forms
        + " (default cpu). The best TARGET of " + listed_targets()
        + " is taken; to force one, for nodes that have to compute alike, "
          "cpu/TARGET. "
          "This build "
        + (kernels::has_cuda_module() ? "has" : "lacks")
        + " the CUDA module; troupe model inspect says which GPUs there are")
    ->type_name("NAME")
    ->check(CLI::Validator(is_known, ""));
}

result<device_choice> parse_device(const std::string& name) {
  using kind = device_choice::kind;
  if (name.empty() || name == "cpu")
    return device_choice{};
  if (name == "reference")
    return device_choice{kind::reference, 0, {}};
  if (name == "cuda")
    return device_choice{kind::cuda, 0, {}};
  if (name.starts_with(cpu_prefix))
    return parse_cpu_target(name);
  device_choice out{kind::cuda, 0, {}};
  const std::string prefix = "cuda:";
  auto end = name.data() + name.size();
  if (name.starts_with(prefix)) {
    auto [at, wrong] = std::from_chars(name.data() + prefix.size(), end,
                                       out.ordinal);
    if (at == end && wrong == std::errc{})
      return out;
  }
  return failure{errc::invalid_input,
                 "\"" + name + "\" is no device: " + forms};
}

result<void> choose_device(const std::string& name, node_options& out) {
  auto found = parse_device(name);
  if (!found)
    return found.why();
  if (found->what == device_choice::kind::reference)
    out.target = "reference";
  if (found->what == device_choice::kind::cpu)
    out.target = found->target;
  if (found->what != device_choice::kind::cuda)
    return {};
  std::string why;
  out.device = kernels::make_cuda_device({0, found->ordinal}, why);
  if (!out.device)
    return failure{errc::not_found, "no device " + name + ": " + why};
  // What a GPU has is not what this machine has: its allocate() says.
  out.allow_overcommit = true;
  return {};
}

std::string describe_devices() {
  auto out = "CPU targets: " + listed_targets() + "; used: "
             + std::string{kernels::make_cpu_executor({})->target()} + "\n";
  std::string why;
  auto gpus = kernels::describe_gpus(why);
  if (gpus.empty())
    return out + "GPUs: none (" + why + ")\n";
  for (size_t i = 0; i < gpus.size(); ++i)
    out += "cuda:" + std::to_string(i) + ": " + gpus[i] + "\n";
  return out;
}

} // namespace troupe
