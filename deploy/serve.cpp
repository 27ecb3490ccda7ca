#include "deploy/api_key_flags.hpp"
#include "deploy/chat_template_flag.hpp"
#include "deploy/commands.hpp"
#include "deploy/fault_run.hpp"
#include "deploy/fault_switch.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/model_defaults.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "runtime/clock.hpp"
#include "runtime/entropy.hpp"
#include "runtime/http/openai_api.hpp"
#include "runtime/http/server.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include <sys/resource.h>

namespace troupe {

namespace {

/// For clients to take the ends of their answers.
constexpr std::chrono::seconds last_words{5};

/// Between two looks at what has ended, or at what is to break.
constexpr std::chrono::milliseconds look_interval{200}, fault_interval{1};

constexpr auto what_to_know_of_faults
  = "--faults reads the plans of troupe simulate and breaks the cluster while "
    "it runs; times count from when it serves. This process kills and pauses "
    "the nodes that it has started (--nodes). Links are made worse by their "
    "senders, which hold frames back in order: each of those nodes for what it "
    "sends, and this one. What can happen: kill, pause, cut, cut_oneway, "
    "clog, delay, rate, reset; on: token_emitted, request_accepted, "
    "request_ended, peer_joined, peer_lost, as this process sees them. The "
    "exit status is 1 if a fault that must happen has not.";

struct serve_flags {
  cluster_flags cluster;
  http::server_options server;
  std::string model_name;
  api_key_flags keys;
  std::string chat_template{auto_chat_template};
  std::string faults; ///< A plan; empty: none.
  uint64_t fault_seed = 1;
};

/// Everything behind the listening socket, in the order of its dependence.
struct front {
  tokenizer tokens;
  std::unique_ptr<http::openai_api> api;
  std::unique_ptr<http::server> server;
};

/// Takes as many descriptors as the system gives, and leaves half of them to
/// nodes, weights and files, whoever connects.
void share_descriptors(http::server_options& server) {
  rlimit most{};
  if (::getrlimit(RLIMIT_NOFILE, &most) != 0)
    return;
  most.rlim_cur = most.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &most);
  ::getrlimit(RLIMIT_NOFILE, &most);
  auto& limit = server.limits.max_connections;
  limit = std::min<size_t>(limit, most.rlim_cur / 2);
}

/// `faults`: null for none.
result<std::unique_ptr<front>>
open_front(const serve_flags& flags, running_company& x, fault_run* faults,
           const clock& time, entropy& chance, std::vector<std::string> keys) {
  auto tokens = tokenizer::load(x.model_dir / "tokenizer.json");
  if (!tokens)
    return tokens.why();
  auto out = std::make_unique<front>(front{std::move(*tokens), {}, {}});
  auto form = chat_form::load(x.model_dir, out->tokens, flags.chat_template);
  if (!form)
    return form.why();
  std::fprintf(stderr, "%s: %s\n",
               form->trouble().empty() ? "chat template" : "chats are refused",
               form->describe().c_str());
  auto defaults = read_model_defaults(x.model_dir, x.config, out->tokens);
  if (!defaults)
    return defaults.why();
  http::openai_options options;
  options.model = flags.model_name.empty() ? x.model_dir.filename().string()
                                           : flags.model_name;
  options.keys = std::move(keys);
  options.add_bos = defaults->first_id.has_value();
  options.defaults = {defaults->sampling.temperature, defaults->sampling.top_p,
                      defaults->sampling.top_k};
  http::openai_sources sources{[&time] { return time.now(); },
                               [] { return int64_t{std::time(nullptr)}; },
                               [&chance] { return chance.draw(); }};
  if (faults)
    sources.active_faults = [faults] { return faults->active(); };
  auto& serving = faults ? faults->watch(*x.serving) : *x.serving;
  out->api = std::make_unique<http::openai_api>(
    serving, out->tokens, std::move(*form), options, sources);
  auto listening = flags.server;
  share_descriptors(listening);
  auto server = http::server::start(listening, *out->api,
                                    logger{"http", flags.cluster.level()});
  if (!server)
    return server.why();
  out->server = std::move(*server);
  return out;
}

/// Returns when a signal asks to end, or why it cannot go on.
result<void> stay_up(running_company& x, fault_run* faults,
                     end_signals& signals, const logger& log) {
  size_t num_ended = 0;
  if (faults)
    faults->begin();
  while (!signals.wait_for(faults ? fault_interval : look_interval)) {
    if (faults)
      faults->act();
    if (auto cause = x.serving->over())
      return *cause;
    auto now = x.nodes ? x.nodes->num_ended() : 0;
    if (now != num_ended)
      log.error("local node processes that have ended: " + std::to_string(now));
    num_ended = now;
  }
  return {};
}

/// From the first connection to the reason to end: none if a signal asked.
result<void> serve_until_end(const front& in, running_company& x,
                             fault_run* faults, const std::string& address,
                             end_signals& signals, const logger& log) {
  if (auto at = x.serving->address(); at.port != 0)
    log.info("nodes join at " + at.host + ":" + std::to_string(at.port));
  if (auto ready = wait_until_ready(x, signals); !ready)
    return ready.why().code == errc::cancelled ? result<void>{} : ready;
  auto info = x.serving->info();
  std::fprintf(stderr,
               "ready at http://%s:%u: %u nodes, %u ranks, %u workers, context "
               "of %u tokens\n",
               address.c_str(), in.server->port(), info.num_nodes,
               info.num_ranks, info.num_workers, info.max_model_len);
  return stay_up(x, faults, signals, log);
}

/// Whoever waits hears how it ends, and has it, before anything goes.
void end(const front& in, running_company& x, const result<void>& why,
         const logger& log) {
  x.serving->close(why ? failure{errc::cancelled, "the server is shutting down"}
                       : why.why());
  if (!in.server->finish(last_words))
    log.warning("not every client has taken the end of its answer");
}

/// Null if there is no plan.
result<std::unique_ptr<fault_run>>
open_faults(const serve_flags& flags, const clock& time, const logger& log) {
  if (flags.faults.empty())
    return std::unique_ptr<fault_run>{};
  auto cluster = flags.cluster.cluster();
  if (!cluster)
    return cluster.why();
  return fault_run::open(flags.faults, flags.fault_seed, *cluster,
                         flags.cluster.num_nodes > 1, time, log);
}

int run(const serve_flags& flags) {
  end_signals signals;
  system_clock time;
  system_entropy chance;
  logger log{"serve", flags.cluster.level()};
  auto keys = flags.keys.read();
  if (!keys)
    return report(keys.why());
  auto faults = open_faults(flags, time, log);
  if (!faults)
    return report(faults.why());
  auto breaks = faults->get();
  auto x = start_company(flags.cluster, breaks ? &breaks->wiring() : nullptr);
  if (!x)
    return report(x.why());
  if (breaks)
    breaks->attach(x->nodes.get());
  auto front = open_front(flags, *x, breaks, time, chance, std::move(*keys));
  if (!front)
    return report(front.why());
  auto ended = serve_until_end(**front, *x, breaks, flags.server.address,
                               signals, log);
  auto all_happened = !breaks || breaks->end();
  end(**front, *x, ended, log);
  front->reset();
  auto traced = end_company(*x);
  if (ended)
    ended = traced;
  if (!ended)
    return report(ended.why());
  return all_happened ? 0 : 1;
}

} // namespace

void add_serve(CLI::App& app, int& status) {
  auto flags = std::make_shared<serve_flags>();
  auto command = app.add_subcommand(
    "serve", "OpenAI's HTTP interface in front of a company of actors");
  flags->cluster.add_to(*command);
  add_emulated_links(*command, flags->cluster.links);
  add_trace_file(*command, flags->cluster.trace_file);
  flags->server.port = 8000;
  command->add_option("--host", flags->server.address,
                      "Address to listen at (127.0.0.1)");
  command->add_option("--port", flags->server.port, "0: any that is free");
  command->add_option("--served-model-name", flags->model_name,
                      "Name that requests give (the directory's)");
  flags->keys.add_to(*command);
  add_chat_template(*command, flags->chat_template);
  if (has_live_faults()) {
    command->footer(what_to_know_of_faults);
    command->add_option("--faults", flags->faults, "A file of faults (TOML)");
    command->add_option("--fault-seed", flags->fault_seed,
                        "Draws whom \"any\" means, and chances (1)");
  }
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
