#include "deploy/api_key_flags.hpp"
#include "deploy/chat_template_flag.hpp"
#include "deploy/commands.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/fault_run.hpp"
#include "deploy/fault_switch.hpp"
#include "deploy/flag_sources.hpp"
#include "deploy/http_flags.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/model_defaults.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "runtime/clock.hpp"
#include "runtime/cluster/told_to_end.hpp"
#include "runtime/entropy.hpp"
#include "runtime/http/openai_api.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/tokenizer_info.hpp"

#include <cstdio>
#include <ctime>

namespace troupe {

namespace {

/// For clients to take the ends of their answers; of a hurried end.
constexpr std::chrono::seconds last_words{5}, hurried_words{1};

/// Between two looks at whether all clients have their answers.
constexpr std::chrono::milliseconds drain_interval{20};

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
  http_flags http;
  std::string model_name;
  std::string sampling; ///< JSON: instead of the model's own; or empty.
  api_key_flags keys;
  std::string chat_template{auto_chat_template};
  uint32_t drain_timeout_s = 30;
  uint32_t max_queue_wait_s = 600;
  std::string scheduling = "fcfs";
  uint32_t restart_limit = 5;
  std::string faults; ///< A plan; empty: none.
  uint64_t fault_seed = 1;
};

/// Everything behind the listening socket, in the order of its dependence.
struct front {
  tokenizer tokens;
  std::unique_ptr<http::openai_api> api;
  std::unique_ptr<http::server> server;
  std::unique_ptr<http::server> admin; ///< Null: there is no such socket.
};

/// A name for a request, of bits that nothing else has.
std::string name_of(uint64_t bits) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(bits));
  return text;
}

/// What the flags and the model say of the API.
result<http::openai_options> api_options(const serve_flags& flags,
                                         const running_company& x,
                                         const tokenizer& tokens) {
  auto defaults = read_model_defaults(x.model_dir, x.config, tokens);
  if (!defaults)
    return defaults.why();
  if (!flags.sampling.empty())
    if (auto ok = override_defaults(flags.sampling, defaults->sampling); !ok)
      return ok.why();
  auto info
    = http::render_tokenizer_info(x.model_dir, x.serving->info().max_model_len,
                                  flags.chat_template == auto_chat_template);
  if (!info)
    return info.why();
  http::openai_options options;
  options.tokenizer_info = std::move(*info);
  options.model = flags.model_name.empty() ? x.model_dir.filename().string()
                                           : flags.model_name;
  options.version = TROUPE_VERSION;
  options.max_queue_wait = std::chrono::seconds{flags.max_queue_wait_s};
  options.everybody = flags.keys.limits;
  options.open_metrics = flags.keys.open_metrics;
  options.allowed_origins = flags.http.origins;
  options.add_bos = defaults->first_id.has_value();
  options.defaults = defaults->sampling;
  options.stored = flags.http.stored;
  auto limits = flags.http.client_limits();
  if (!limits)
    return limits.why();
  options.limits = limits->requests;
  options.max_waiting_bytes = limits->max_waiting_bytes;
  options.limits.priorities = flags.scheduling == "priority";
  return options;
}

/// Listens on the port, and at the admin socket if there is to be one.
result<void> listen(front& to, http::server_options listening,
                    const std::string& admin_socket,
                    const std::shared_ptr<log_book>& logs) {
  if (!admin_socket.empty()) {
    http::server_options at;
    at.unix_path = admin_socket;
    at.unix_time = listening.unix_time;
    at.new_name = listening.new_name;
    auto admin = http::server::start(std::move(at), to.api->admin(),
                                     logger{"admin", logs});
    if (!admin)
      return admin.why();
    to.admin = std::move(*admin);
  }
  auto server = http::server::start(std::move(listening), *to.api,
                                    logger{"http", logs});
  if (!server)
    return server.why();
  to.server = std::move(*server);
  return {};
}

/// `faults`: null for none.
result<std::unique_ptr<front>>
open_front(const serve_flags& flags, running_company& x, fault_run* faults,
           const clock& time, entropy& chance, http::server_options listening,
           std::vector<http::api_key> keys,
           const std::shared_ptr<log_book>& logs) {
  auto tokens = tokenizer::load(x.model_dir / "tokenizer.json");
  if (!tokens)
    return tokens.why();
  auto out = std::make_unique<front>(front{std::move(*tokens), {}, {}, {}});
  auto form = chat_form::load(x.model_dir, out->tokens, flags.chat_template);
  if (!form)
    return form.why();
  std::fprintf(stderr, "%s: %s\n",
               form->trouble().empty() ? "chat template" : "chats are refused",
               form->describe().c_str());
  auto options = api_options(flags, x, out->tokens);
  if (!options)
    return options.why();
  options->keys = std::move(keys);
  http::openai_sources sources{[&time] { return time.now(); },
                               [] { return int64_t{std::time(nullptr)}; },
                               [&chance] { return chance.draw(); }};
  sources.enough = [&x](request_id id) { x.serving->enough(id); };
  sources.logs = logs;
  sources.connections = listening.counts;
  listening.unix_time = sources.unix_time;
  listening.new_name = [&chance] { return name_of(chance.draw()); };
  if (faults)
    sources.active_faults = [faults] { return faults->active(); };
  auto& serving = faults ? faults->watch(*x.serving) : *x.serving;
  out->api = std::make_unique<http::openai_api>(
    serving, out->tokens, std::move(*form), std::move(*options), sources);
  if (auto ok = listen(*out, std::move(listening), flags.http.admin_socket,
                       logs);
      !ok)
    return ok.why();
  return out;
}

/// Certificate and keys, each if it comes from a file.
void reload(const front& in, const serve_flags& flags, const logger& log) {
  auto has_certificate = !flags.http.server.certificate.empty();
  if (auto ok = in.server->reload_certificate(); !ok)
    log.error("the old certificate stays: " + ok.why().message);
  else if (has_certificate)
    log.warning("the certificate was read again");
  if (flags.keys.file.empty())
    return;
  auto keys = flags.keys.read();
  if (!keys)
    return log.error("the old keys stay: " + keys.why().message);
  in.api->replace_keys(*keys);
  log.warning("the keys were read again: there are "
              + std::to_string(keys->size()));
}

/// Returns when a signal asks to end, or why it cannot go on.
result<void> stay_up(const front& in, const serve_flags& flags,
                     running_company& x, fault_run* faults, const clock& time,
                     end_signals& signals, const logger& log) {
  restart_brake::limits restarts;
  restarts.most = flags.restart_limit;
  auto was_told = [&](auto& name) {
    return was_told_to_end(x.serving->cluster(), name);
  };
  if (faults)
    faults->begin();
  while (!signals.wait_for(faults ? fault_interval : look_interval)) {
    if (faults)
      faults->act();
    if (auto cause = x.serving->over())
      return *cause;
    if (signals.take_hangup())
      reload(in, flags, log);
    if (x.nodes)
      for (auto& line : x.nodes->tend(restarts, time.now(), was_told))
        log.error(line);
  }
  return {};
}

/// From the first connection to the reason to end: none if a signal asked.
result<void> serve_until_end(const front& in, const serve_flags& flags,
                             running_company& x, fault_run* faults,
                             const clock& time, end_signals& signals,
                             const logger& log) {
  const auto& at = flags.http.server;
  if (auto door = x.serving->address(); door.port != 0)
    log.info("nodes join at " + door.host + ":" + std::to_string(door.port));
  if (auto ready = wait_until_ready(x, &signals); !ready)
    return ready.why().code == errc::cancelled ? result<void>{} : ready;
  auto info = x.serving->info();
  const auto& address = at.address;
  auto is_v6 = address.find(':') != address.npos;
  std::fprintf(
    stderr,
    "ready at %s://%s%s%s:%u: %u nodes, %u ranks, %u workers, context "
    "of %u tokens\n",
    at.certificate.empty() ? "http" : "https", is_v6 ? "[" : "",
    address.c_str(), is_v6 ? "]" : "", in.server->port(), info.num_nodes,
    info.num_ranks, info.num_workers, info.max_model_len);
  return stay_up(in, flags, x, faults, time, signals, log);
}

/// Why the requests that are left end now, and how long their clients have to
/// take that.
struct parting {
  failure why;
  std::chrono::seconds patience = last_words;
};

/// Takes no request any more but those about itself, and those who are there
/// have their answers, until `limit`, or another signal, says that it has been
/// enough.
std::optional<parting> drain(const front& in, const running_company& x,
                             std::chrono::seconds limit, const clock& time,
                             end_signals& signals, const logger& log) {
  in.api->retire();
  auto since = in.server->times_answered();
  log.info("ending: no request is accepted any more");
  for (auto end = time.now() + limit; time.now() < end;) {
    if (in.server->wait_until_answered(since, drain_interval)) {
      in.server->finish(last_words);
      return std::nullopt;
    }
    if (auto cause = x.serving->over())
      return parting{*cause};
    if (signals.wait_for_another(std::chrono::milliseconds{0}))
      return parting{{errc::cancelled, "the server was told to end at once"},
                     hurried_words};
  }
  return parting{{errc::cancelled,
                  "the server is shutting down and has waited for this request "
                  "as long as it may ("
                    + std::to_string(limit.count()) + " s)"}};
}

/// Whoever waits hears how it ends, and has it, before anything goes.
void end(const front& in, const running_company& x, const parting& last,
         const logger& log) {
  x.serving->close(last.why);
  if (!in.server->finish(last.patience))
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
  auto logs = flags.cluster.make_log();
  logger log{"serve", logs};
  auto keys = flags.keys.read();
  if (!keys)
    return report(keys.why());
  auto listening = flags.http.options();
  if (!listening)
    return report(listening.why());
  if (!listening->certificate.empty() || !flags.keys.file.empty())
    signals.watch_hangup();
  auto faults = open_faults(flags, time, log);
  if (!faults)
    return report(faults.why());
  auto breaks = faults->get();
  auto x = start_company(flags.cluster, breaks ? &breaks->wiring() : nullptr,
                         logs);
  if (!x)
    return report(x.why());
  if (breaks)
    breaks->attach(x->nodes.get());
  auto front = open_front(flags, *x, breaks, time, chance, *listening,
                          std::move(*keys), logs);
  if (!front)
    return report(front.why());
  auto ended = serve_until_end(**front, flags, *x, breaks, time, signals, log);
  auto all_happened = !breaks || breaks->end();
  if (!ended) {
    end(**front, *x, {ended.why()}, log);
    front->reset();
    (void)end_company(*x); // why it ended is what counts
    return report(ended.why());
  }
  auto limit = std::chrono::seconds{flags.drain_timeout_s};
  if (auto last = drain(**front, *x, limit, time, signals, log))
    end(**front, *x, *last, log);
  front->reset();
  if (auto traced = end_company(*x); !traced)
    return report(traced.why());
  return all_happened ? 0 : 1;
}

} // namespace

void add_serve(CLI::App& app, int& status) {
  auto flags = std::make_shared<serve_flags>();
  auto command = app.add_subcommand(
    "serve", "OpenAI's HTTP interface in front of a company of actors");
  flags->cluster.add_to(*command);
  add_micro_batches(*command, flags->cluster.micro_batches);
  add_device(*command, flags->cluster.device);
  flags->cluster.kv_cache.add_to(*command);
  flags->cluster.balance.add_to(*command);
  flags->cluster.moving.add_to(*command);
  add_emulated_links(*command, flags->cluster.links);
  flags->http.add_to(*command);
  add_trace_file(*command, flags->cluster.trace_file);
  command->add_option("--served-model-name", flags->model_name,
                      "Name that requests give (the directory's)");
  command->add_option("--override-generation-config", flags->sampling,
                      "JSON of what generation_config.json says or might say, "
                      "for requests that do not: {\"temperature\": 0.6}");
  command
    ->add_option("--drain-timeout", flags->drain_timeout_s,
                 "Seconds that open requests have to come to their end after "
                 "SIGTERM or SIGINT; a second signal ends at once")
    ->capture_default_str()
    ->check(CLI::Range(0u, 86'400u));
  command
    ->add_option("--max-queue-wait", flags->max_queue_wait_s,
                 "Seconds that a request may be expected to wait for its "
                 "turn; beyond them it gets a 429")
    ->capture_default_str()
    ->check(CLI::Range(1u, 86'400u));
  command
    ->add_option("--scheduling-policy", flags->scheduling,
                 "Whose turn it is: fcfs, who came first; priority: requests "
                 "may name a `priority` from -100 to 100, the smaller first")
    ->capture_default_str()
    ->check(CLI::IsMember({"fcfs", "priority"}));
  command->add_option("--state-dir", flags->cluster.state_dir,
                      "Directory where the cluster remembers what outlives its "
                      "processes: the number of its view, the placement of "
                      "experts (default: nothing does)");
  command
    ->add_option("--restart-limit", flags->restart_limit,
                 "How often within ten minutes a node process of --nodes that "
                 "has ended is started again, each time a little later")
    ->capture_default_str()
    ->check(CLI::Range(0u, 1000u));
  flags->keys.add_to(*command);
  add_chat_template(*command, flags->chat_template);
  if (has_live_faults()) {
    command->footer(what_to_know_of_faults);
    command->add_option("--faults", flags->faults, "A file of faults (TOML)");
    command
      ->add_option("--fault-seed", flags->fault_seed,
                   "Draws whom \"any\" means, and chances")
      ->capture_default_str();
  }
  add_flag_sources(*command);
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
