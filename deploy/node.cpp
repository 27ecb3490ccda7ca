#include "actors/company.hpp"
#include "deploy/cache_place.hpp"
#include "deploy/cluster_flags.hpp"
#include "deploy/commands.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/drain_command.hpp"
#include "deploy/fault_switch.hpp"
#include "deploy/flag_sources.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/link_orders.hpp"
#include "deploy/log_flags.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "deploy/word_channel.hpp"
#include "runtime/clock.hpp"

#include <thread>

namespace troupe {

namespace {

struct node_flags {
  drain_flags drain;
  std::string join;
  std::string listen;
  std::string secret_file;
  std::string log_level_name = "warning";
  std::string log_format_name = "text";
  uint32_t join_timeout_s = 60;
  std::optional<int> fault_channel_fd;
  std::string device;     ///< Empty: cpu.
  std::string trace_file; ///< Empty: none.
  kv_cache_flags kv_cache;
  member_options options;
};

/// Until a signal asks to end: does to the links of this node what `serve` says
/// on the channel.
void obey(const word_channel& channel, std::shared_ptr<link_faults> links,
          end_signals& signals) {
  link_servant servant{std::move(links)};
  while (!signals.wait_for(std::chrono::milliseconds{1})) {
    while (auto word = channel.hear())
      if (auto order = parse_link_order(*word))
        servant.obey(*order);
    servant.act([&](auto& effect) { return channel.say(render(effect)); });
  }
}

int run(node_flags& flags) {
  end_signals signals;
  auto& options = flags.options;
  auto controller = parse_endpoint(flags.join);
  auto listen = parse_endpoint(flags.listen);
  if (!controller)
    return report(controller.why());
  if (!listen)
    return report(listen.why());
  auto secret = read_secret(flags.secret_file);
  if (!secret)
    return report(secret.why());
  options.controller = *controller;
  options.listen = *listen;
  options.secret = *secret;
  options.join_timeout = std::chrono::seconds{flags.join_timeout_s};
  options.logs = make_log(flags.log_level_name, flags.log_format_name);
  flags.kv_cache.apply(options.node);
  options.node.cache_dir = cache_place(); // it may have to read all of a model
  options.node.num_threads = device_threads(options.node.num_threads, 1);
  if (auto ok = choose_device(flags.device, options.node); !ok)
    return report(ok.why());
  if (!options.links.empty())
    logger{options.name, options.logs}.info(describe(options.links));
  system_clock time;
  std::optional<word_channel> channel;
  if (flags.fault_channel_fd) {
    auto adopted = word_channel::adopt(*flags.fault_channel_fd);
    if (!adopted)
      return report(adopted.why());
    channel.emplace(std::move(*adopted));
    options.faults = std::make_shared<link_faults>(time);
  }
  progress_display progress{options.name, true};
  options.progress = [&](auto& what, auto done, auto total) {
    progress.show(what, done, total);
  };
  std::optional<company_trace> trace;
  if (!flags.trace_file.empty())
    options.node.spans
      = trace.emplace(flags.trace_file, options.name).recorder();
  auto member = member_node::start(options);
  if (!member)
    return report(member.why());
  std::optional<failure> cause;
  std::thread watcher{[&] {
    cause = (*member)->wait_until_over();
    end_signals::pretend();
  }};
  if (channel)
    obey(*channel, options.faults, signals);
  else
    signals.wait();
  (*member)->request_end();
  watcher.join();
  member->reset();
  auto traced = trace ? trace->finish() : result<void>{};
  if (!cause && !traced)
    cause = traced.why();
  return cause ? report(*cause) : 0;
}

void add_drain(CLI::App& command, drain_flags& flags, CLI::Option& join) {
  auto drain
    = command.add_option("--drain", flags.node,
                         "Instead of a node: lets the one of that name leave a "
                         "cluster that runs; what it has goes to others first");
  auto undrain
    = command.add_option("--undrain", flags.stays,
                         "Instead of a node: lets the one of that name stay "
                         "after all, if it was not told to end yet");
  drain->excludes(&join);
  undrain->excludes(&join)->excludes(drain);
  auto socket = command.add_option("--admin-socket", flags.admin_socket,
                                   "With --drain and --undrain: that of the "
                                   "server (serve --admin-socket)");
  socket->excludes(&join);
  drain->needs(socket);
  undrain->needs(socket);
  command
    .add_option("--drain-timeout", flags.timeout_s,
                "Seconds that it may take; else the node stays")
    ->capture_default_str()
    ->check(CLI::Range(1u, 86'400u))
    ->needs(drain);
}

void add_share(CLI::App& command, node_share& share) {
  command
    .add_option("--ranks", share.ranks,
                "Attention ranks of a node that the topology does not name: it "
                "comes to an open place for so many")
    ->check(CLI::Range(0u, 4096u))
    ->capture_default_str();
  command.add_option("--workers", share.workers, "Likewise, expert workers")
    ->check(CLI::Range(0u, 4096u))
    ->capture_default_str();
  command
    .add_option("--unit", share.unit,
                "Likewise, the unit that they are to serve in (default: "
                "whichever it is)")
    ->check([](const std::string& x) {
      return x.size() > 63 ? "must be of at most 63 characters" : "";
    });
}

} // namespace

void add_node(CLI::App& app, int& status) {
  auto flags = std::make_shared<node_flags>();
  auto command = app.add_subcommand("node",
                                    "One node process of a running cluster");
  auto join = command->add_option("--join", flags->join,
                                  "HOST:PORT of the cluster's controller");
  auto name = command->add_option("--name", flags->options.name,
                                  "Which node of the topology this is; one "
                                  "that has left, was lost or is there with "
                                  "later = true may come at any time, one "
                                  "that is not there if it says what it "
                                  "brings");
  join->needs(name);
  add_share(*command, flags->options.brings);
  add_drain(*command, flags->drain, *join);
  command
    ->add_option("--cluster", flags->options.cluster, "Name of the cluster")
    ->capture_default_str();
  command->add_option("--model", flags->options.model_dir,
                      "Checkpoint, if it lies elsewhere on this machine");
  flags->listen = "127.0.0.1:0";
  command
    ->add_option("--listen", flags->listen,
                 "HOST:PORT where other nodes reach this one")
    ->capture_default_str();
  flags->options.node.num_threads = 0;
  command
    ->add_option("--threads", flags->options.node.num_threads,
                 "Threads of the CPU device (default: all)")
    ->check(CLI::Range(0u, max_threads));
  command->add_flag("--allow-overcommit", flags->options.node.allow_overcommit,
                    "Start even if memory for weights and caches is not there");
  command->add_option("--cluster-secret-file", flags->secret_file,
                      "Secret that every node must know");
  command->add_flag("--insecure", flags->options.insecure,
                    "Listen beyond loopback without a secret");
  add_cluster_tls(*command, flags->options.tls);
  add_device(*command, flags->device);
  add_emulated_links(*command, flags->options.links);
  add_trace_file(*command, flags->trace_file);
  flags->kv_cache.add_to(*command);
  command
    ->add_option("--join-timeout", flags->join_timeout_s,
                 "Seconds that the controller may take to be there")
    ->capture_default_str()
    ->check(CLI::Range(1u, 86'400u));
  if (has_live_faults())
    command->add_option("--fault-channel", flags->fault_channel_fd,
                        "Set by serve --faults: where its orders come from");
  add_log_flags(*command, flags->log_level_name, flags->log_format_name);
  add_flag_sources(*command);
  command->callback([flags, &status] {
    if (!flags->drain.node.empty())
      return void(status = drain(flags->drain));
    if (!flags->drain.stays.empty())
      return void(status = undrain(flags->drain));
    if (flags->join.empty())
      throw CLI::RequiredError("--join");
    status = run(*flags);
  });
}

} // namespace troupe
