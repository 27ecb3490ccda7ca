#include "deploy/link_flags.hpp"

namespace troupe {

namespace {

constexpr auto what_it_does
  = "Holds frames to other nodes back as a slower network would: "
    "latency=2ms, and if wanted jitter=100us (mean), rate=10gbit, "
    "queue=BYTES in the air, to=NODE (its number), class=rows, control or "
    "bulk, seed=1. May be repeated: of several that fit the last one holds";

} // namespace

void add_emulated_links(CLI::App& command, std::vector<link_emulation>& to) {
  auto read = [&to](const std::vector<std::string>& texts) {
    for (auto& text : texts) {
      auto x = parse_link_emulation(text);
      if (!x)
        throw CLI::ValidationError{"--emulate-link", x.why().message};
      to.push_back(*x);
    }
  };
  command
    .add_option_function<std::vector<std::string>>("--emulate-link", read,
                                                   what_it_does)
    ->allow_extra_args(false);
}

result<void> check_links(const std::vector<link_emulation>& links,
                         const topology& cluster) {
  auto num_nodes = cluster.nodes.size();
  if (!links.empty() && num_nodes == 1)
    return failure{errc::invalid_input,
                   "--emulate-link: a cluster of one node has no links"};
  for (auto& x : links)
    if (x.to && *x.to >= num_nodes)
      return failure{errc::invalid_input,
                     "--emulate-link: there is no node " + std::to_string(*x.to)
                       + ", the last one is " + std::to_string(num_nodes - 1)};
  return {};
}

} // namespace troupe
