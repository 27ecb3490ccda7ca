#include "deploy/running_company.hpp"

#include "deploy/cache_place.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/private_file.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace troupe {

namespace {

constexpr std::chrono::milliseconds ready_interval{100};

/// For a node process to end: one that records writes a file at last.
constexpr std::chrono::seconds usual_patience{5}, traced_patience{60};
constexpr size_t min_secret_bytes = 16;
constexpr size_t max_secret_bytes = 4096;

std::vector<std::vector<std::string>>
node_commands(const cluster_flags& flags, const topology& cluster,
              const endpoint_address& controller, uint32_t num_threads,
              company_trace* trace, const std::vector<int>& channels) {
  std::vector<std::vector<std::string>> out;
  for (size_t i = 1; i < cluster.nodes.size(); ++i) {
    std::vector<std::string> command{"node",
                                     "--join",
                                     controller.host + ":"
                                       + std::to_string(controller.port),
                                     "--name",
                                     cluster.nodes[i].name,
                                     "--cluster",
                                     cluster.cluster,
                                     "--threads",
                                     std::to_string(num_threads),
                                     "--log-level",
                                     flags.log_level_name,
                                     "--log-format",
                                     flags.log_format_name};
    if (!flags.tls.empty())
      for (auto& [name, file] :
           {std::pair{"--cluster-tls-cert", flags.tls.certificate},
            {"--cluster-tls-key", flags.tls.key},
            {"--cluster-tls-ca", flags.tls.authorities}}) {
        command.push_back(name);
        command.push_back(file);
      }
    if (!flags.device.empty()) {
      command.push_back("--device");
      command.push_back(flags.device);
    }
    if (flags.allow_overcommit)
      command.push_back("--allow-overcommit");
    // Each finds its own again.
    auto kept = flags.kv_cache;
    if (!kept.dir.empty())
      kept.dir += "/" + cluster.nodes[i].name;
    for (auto& argument : kept.arguments())
      command.push_back(argument);
    if (!cluster.secret_file.empty()) {
      command.push_back("--cluster-secret-file");
      command.push_back(cluster.secret_file);
    }
    for (auto& link : flags.links) {
      command.push_back("--emulate-link");
      command.push_back(render(link));
    }
    if (trace) {
      command.push_back("--trace");
      command.push_back(trace->part_of(cluster.nodes[i].name));
    }
    if (!channels.empty()) {
      command.push_back("--fault-channel");
      command.push_back(std::to_string(channels.at(i - 1)));
    }
    out.push_back(std::move(command));
  }
  return out;
}

result<company_options> options_for(const cluster_flags& flags,
                                    const topology& cluster) {
  auto secret = read_secret(cluster.secret_file);
  if (!secret)
    return secret.why();
  company_options out;
  out.cluster = cluster;
  out.model_dir = cluster.model;
  out.secret = *secret;
  out.insecure = flags.insecure;
  out.tls = flags.tls;
  out.links = flags.links;
  out.state_dir = flags.state_dir;
  out.outage_timeout = std::chrono::milliseconds{flags.outage_timeout_ms};
  return out;
}

} // namespace

void limit_context(const cluster_flags& flags, const model_config& config,
                   topology& cluster) {
  if (!flags.max_model_len)
    cluster.max_model_len = std::min(cluster.max_model_len,
                                     config.max_position_embeddings);
}

result<running_company> start_company(const cluster_flags& flags,
                                      const fault_wiring* faults,
                                      std::shared_ptr<const log_book> logs) {
  auto cluster = flags.cluster();
  if (!cluster)
    return cluster.why();
  if (auto ok = check_links(flags.links, *cluster); !ok)
    return ok.why();
  cluster->model = std::filesystem::absolute(cluster->model).string();
  auto config = read_model_config(cluster->model);
  if (!config)
    return config.why();
  limit_context(flags, *config, *cluster);
  auto options = options_for(flags, *cluster);
  if (!options)
    return options.why();
  options->logs = logs ? std::move(logs) : flags.make_log();
  running_company out;
  out.model_dir = cluster->model;
  out.config = *config;
  options->node.config = std::make_shared<model_config>(*config);
  out.max_model_len = cluster->max_model_len;
  out.progress = std::make_unique<progress_display>(cluster->nodes[0].name,
                                                    false);
  auto num_threads = device_threads(flags.num_threads, flags.num_nodes);
  options->node.num_threads = num_threads;
  options->node.allow_overcommit = flags.allow_overcommit;
  if (auto ok = choose_device(flags.device, options->node); !ok)
    return ok.why();
  options->node.cache_dir = cache_place();
  flags.kv_cache.apply(options->node);
  auto balance = flags.balance.settings();
  if (!balance)
    return balance.why();
  options->node.balance = std::move(*balance);
  auto moving = flags.moving.settings();
  if (!moving)
    return moving.why();
  options->node.moving = std::move(*moving);
  options->progress = [to = out.progress.get()](auto& what, auto done,
                                                auto total) {
    to->show(what, done, total);
  };
  if (faults)
    options->faults = faults->links;
  if (!flags.trace_file.empty()) {
    out.trace = std::make_unique<company_trace>(flags.trace_file,
                                                cluster->nodes[0].name);
    options->node.spans = out.trace->recorder();
  }
  auto serving = company::start(std::move(*options));
  if (!serving)
    return serving.why();
  out.serving = std::move(*serving);
  if (!flags.links.empty())
    std::fprintf(stderr, "%s\n", describe(flags.links).c_str());
  if (flags.num_nodes == 1)
    return out;
  auto channels = faults ? faults->inherited : std::vector<int>{};
  auto nodes = local_nodes::start(
    node_commands(flags, *cluster, out.serving->address(), num_threads,
                  out.trace.get(), channels),
    channels, out.trace ? traced_patience : usual_patience);
  if (!nodes)
    return nodes.why();
  out.nodes = std::move(*nodes);
  return out;
}

result<void> wait_until_ready(running_company& x, end_signals* signals) {
  for (;;) {
    auto ready = x.serving->wait_until_ready(ready_interval);
    if (ready || ready.why().code != errc::deadline_passed)
      return ready;
    if (signals && signals->wait_for(std::chrono::milliseconds{0}))
      return failure{errc::cancelled, "ended before the cluster was ready"};
    if (x.nodes && x.nodes->num_ended() > 0)
      return failure{errc::io, x.nodes->take_ends().front()
                                 + " before the cluster was ready"};
  }
}

result<void> end_company(running_company& x) {
  x.serving.reset();
  x.nodes.reset();
  return x.trace ? x.trace->finish() : result<void>{};
}

result<std::string> read_secret(const std::string& path) {
  if (path.empty())
    return std::string{};
  auto text = read_private_file(path, max_secret_bytes + 2);
  if (!text)
    return text.why();
  auto out = std::move(*text);
  while (!out.empty() && (out.back() == '\n' || out.back() == '\r'))
    out.pop_back();
  if (out.size() < min_secret_bytes || out.size() > max_secret_bytes)
    return failure{errc::invalid_input,
                   path + ": a secret has from 16 to 4096 bytes"};
  return out;
}

uint32_t device_threads(uint32_t num_threads, uint32_t num_processes) {
  if (num_threads > 0)
    return num_threads;
  auto processors = std::max(1u, std::thread::hardware_concurrency());
  return std::max(1u, processors / num_processes);
}

} // namespace troupe
